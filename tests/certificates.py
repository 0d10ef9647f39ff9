"""Self-signed certificates for tests, in files."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key in files."""

    cert: Path
    key: Path

    @property
    def pem(self) -> str:
        """The certificate's text."""
        return self.cert.read_text(encoding="ascii")

    def write(self, other: Pair) -> None:
        """Put another pair into the same files."""
        self.cert.write_bytes(other.cert.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_text(
    key: Key, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes | None = None
) -> bytes:
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, form, encryption)


def certificate(
    key: Key,
    *,
    name: str = "aigw test",
    starts: timedelta = -timedelta(days=1),
    ends: timedelta = YEAR,
) -> x509.Certificate:
    """For localhost, from and until so long from now."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def new_pair(
    folder: Path,
    name: str = "tls",
    *,
    starts: timedelta = -timedelta(days=1),
    ends: timedelta = YEAR,
) -> Pair:
    """A certificate and its key in `NAME.pem` and `NAME.key`."""
    key = new_key()
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    made = certificate(key, name=name, starts=starts, ends=ends)
    pair.cert.write_bytes(made.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key_text(key))
    return pair
