"""TLS on the listener: its certificate and key, checked before anything is started with them.

OpenSSL's own messages name neither the file nor the fault ("[SSL] PEM lib"), so both files are
looked at with `cryptography` first, and what is wrong with them is said in words.
"""

from __future__ import annotations

import logging
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from aigw.errors import ConfigError

_log = logging.getLogger("aigw.tls")

EXPIRY_WARNING = timedelta(days=14)
"""How long before its end a certificate is warned of: ACME clients renew 30 days before theirs, so
that one this old says that renewing fails, with time left to see to it."""

LARGEST_FILE = 1024 * 1024
"""Bytes: a long chain has some ten kilobytes. It keeps a wrong path (a log) from being read."""

_KEY_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL | re.ASCII
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the listener's certificate chain and its private key are."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class LeafCertificate:
    """The certificate that the listener shows: in PEM, and when it ends."""

    pem: str
    expires: datetime


def tls_files(cert: Path | None, key: Path | None) -> TlsFiles | None:
    """Both files, or None where the listener speaks plain HTTP.

    Raises:
        ConfigError: one is given without the other.
    """
    if cert is not None and key is not None:
        return TlsFiles(cert, key)
    if cert is None and key is None:
        return None
    given, missing = (
        ("tls_cert_file", "tls_key_file") if cert else ("tls_key_file", "tls_cert_file")
    )
    raise ConfigError(f"{given} is set, but {missing} is not: TLS on the listener needs both")


class ListenerTls:
    """The certificate of a listener that runs.

    Attributes:
        context: what the listener is given.
        leaf: the certificate that new connections are shown.

    Raises:
        ConfigError: a file is unusable; `problems` has a line for each fault.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.leaf = check_certificate(files.cert, files.key)
        self.context = _context(files.cert, files.key)
        self._files = files

    def reload(self, files: TlsFiles | None, *, in_use: bool = True) -> None:
        """Show new connections what the files (without any: the same as before) hold now.

        Without `in_use` they are only checked.

        Raises:
            ConfigError: a file is unusable; the certificate in use stays.
        """
        files = files or self._files
        leaf = check_certificate(files.cert, files.key)
        if in_use:
            _show(self.context, _context(files.cert, files.key))
            self.leaf, self._files = leaf, files


def listener_context(cert: Path, key: Path) -> ssl.SSLContext:
    """What a listener needs to speak TLS with a certificate.

    Raises:
        ConfigError: a file is unusable; `problems` has a line for each fault.
    """
    check_certificate(cert, key)
    return _context(cert, key)


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The one protocol spoken here: a client that offers HTTP/2 first then knows.
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{cert} and {key} cannot be used for TLS: {_reason(error)}") from None
    return context


def reload_context(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Have new connections of a context in use shown what the files hold now.

    Raises:
        ConfigError: a file is unusable; the certificate in use stays.
    """
    _show(context, listener_context(cert, key))


def _show(context: ssl.SSLContext, fresh: ssl.SSLContext) -> None:
    """Have new connections of one context served with another."""

    def use_fresh(
        connection: ssl.SSLSocket | ssl.SSLObject, _name: str, _of: ssl.SSLContext
    ) -> None:
        connection.context = fresh

    # Called for every handshake, with a server name or without. Loading the files into the context
    # itself would leave half of them in it when they change in between (one is renamed, then the
    # other); a whole context takes the place of a whole context.
    context.sni_callback = use_fresh


def check_certificate(cert: Path, key: Path) -> LeafCertificate:
    """The certificate in the files, after a look at all that keeps TLS clients from accepting it.

    One that ends soon is warned of in the log.

    Raises:
        ConfigError: a file is unusable; `problems` has a line for each fault.
    """
    problems: list[str] = []
    leaf = _leaf(cert, problems)
    if leaf is not None:
        _check_dates(cert, leaf, problems)
    public = _public_key(key, problems)
    if leaf is not None and public is not None and public != _public_bytes(leaf):
        problems.append(
            f"{key} does not belong to the certificate in {cert}, whose first certificate must be "
            "the server's own"
        )
    if leaf is None or problems:
        raise ConfigError(*problems)
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    if left < EXPIRY_WARNING:
        _log.warning("%s expires on %s: renew it", cert, _date(leaf.not_valid_after_utc))
    return LeafCertificate(leaf.public_bytes(Encoding.PEM).decode(), leaf.not_valid_after_utc)


def _leaf(path: Path, problems: list[str]) -> x509.Certificate | None:
    content = _read(path, problems)
    if content is None:
        return None
    if b"-----BEGIN" not in content:
        problems.append(
            f"{path} is not in PEM, the text form that begins with -----BEGIN CERTIFICATE-----. "
            f"From DER: openssl x509 -inform der -in {path} -out cert.pem"
        )
        return None
    if b"-----BEGIN CERTIFICATE-----" not in content:
        problems.append(f"{path} holds no certificate")
        return None
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        problems.append(f"{path} holds a certificate that cannot be read: it is damaged")
        return None


def _check_dates(path: Path, leaf: x509.Certificate, problems: list[str]) -> None:
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        problems.append(f"{path} expired on {_date(leaf.not_valid_after_utc)}: renew it")
    elif leaf.not_valid_before_utc > now:
        problems.append(
            f"{path} is not valid before {_date(leaf.not_valid_before_utc)}: wait, or set this "
            "machine's clock"
        )


def _public_key(path: Path, problems: list[str]) -> bytes | None:
    """The public half of the key in a file, to be compared."""
    content = _read(path, problems)
    if content is None:
        return None
    # Curve parameters or the certificate may stand before it in the same file.
    block = _KEY_BLOCK.search(content)
    if block is None:
        problems.append(f"{path} holds no private key in PEM")
        return None
    try:
        key = load_pem_private_key(block[0] + b"\n", password=None)
    except TypeError:
        problems.append(
            f"{path} is encrypted, which is not supported: the daemon starts with nobody there to "
            f"type the passphrase. Decrypt it: openssl pkey -in {path} -out key.pem; "
            "chmod 600 key.pem"
        )
    except (ValueError, UnsupportedAlgorithm):
        problems.append(f"{path} holds a private key that cannot be read: it is damaged")
    else:
        public = key.public_key()
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return None


def _public_bytes(leaf: x509.Certificate) -> bytes | None:
    try:
        key = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path, problems: list[str]) -> bytes | None:
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Reading a pipe may wait for ever, and a reload with it.
        problems.append(f"cannot read {path}: it is no regular file")
        return None
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        problems.append(f"cannot read {path}: {error.strerror}")
        return None
    if len(content) > LARGEST_FILE:
        problems.append(f"{path} is too large for a certificate or key")
        return None
    return content


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
