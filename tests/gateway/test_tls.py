"""What is wrong with a certificate or key is said in words, before anything listens."""

from __future__ import annotations

import logging
import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from aigw.errors import ConfigError
from aigw.gateway import tls
from aigw.gateway.tls import (
    ListenerTls,
    TlsFiles,
    check_certificate,
    listener_context,
    reload_context,
    tls_files,
)
from tests.certificates import Key, Pair, certificate, key_text, new_key, new_pair

DAY = timedelta(days=1)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return new_pair(tmp_path)


def problems_of(pair: Pair) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        listener_context(pair.cert, pair.key)
    assert refused.value.exit_code == 2
    return list(refused.value.problems)


def test_a_good_pair(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    context = listener_context(pair.cert, pair.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert check_certificate(pair.cert, pair.key).pem == pair.pem
    assert caplog.records == []


def rsa_key() -> Key:
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("make", [new_key, rsa_key])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize(
    "before",
    [b"", b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"],
)
def test_forms_of_keys(tmp_path: Path, make: object, form: PrivateFormat, before: bytes) -> None:
    assert callable(make)
    key = make()
    both = tmp_path / "both.pem"
    text = before + key_text(key, form) + certificate(key).public_bytes(Encoding.PEM)
    both.write_bytes(text)
    listener_context(both, both)


def test_both_or_neither(pair: Pair) -> None:
    assert tls_files(None, None) is None
    assert tls_files(pair.cert, pair.key) == TlsFiles(pair.cert, pair.key)
    with pytest.raises(ConfigError, match="tls_cert_file is set, but tls_key_file is not"):
        tls_files(pair.cert, None)
    with pytest.raises(ConfigError, match="tls_key_file is set, but tls_cert_file is not"):
        tls_files(None, pair.key)


def test_missing_files_are_both_named(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "a.pem", tmp_path / "a.key")
    assert problems_of(pair) == [
        f"cannot read {pair.cert}: No such file or directory",
        f"cannot read {pair.key}: No such file or directory",
    ]


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root reads everything")
def test_an_unreadable_key(pair: Pair) -> None:
    pair.key.chmod(0)
    assert problems_of(pair) == [f"cannot read {pair.key}: Permission denied"]


def test_a_folder(pair: Pair, tmp_path: Path) -> None:
    assert problems_of(Pair(tmp_path, pair.key)) == [f"cannot read {tmp_path}: Is a directory"]


def test_der(pair: Pair) -> None:
    pair.cert.write_bytes(ssl.PEM_cert_to_DER_cert(pair.pem))
    (problem,) = problems_of(pair)
    assert f"{pair.cert} is not in PEM" in problem
    assert f"openssl x509 -inform der -in {pair.cert}" in problem


def test_swapped_files(pair: Pair) -> None:
    assert problems_of(Pair(pair.key, pair.cert)) == [
        f"{pair.key} holds no certificate",
        f"{pair.cert} holds no private key in PEM",
    ]


@pytest.mark.parametrize("body", ["AAAA", "", "%%%", "MIIB"])
def test_damaged_files(pair: Pair, body: str) -> None:
    for path, label in ((pair.cert, "CERTIFICATE"), (pair.key, "PRIVATE KEY")):
        path.write_text(f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    assert problems_of(pair) == [
        f"{pair.cert} holds a certificate that cannot be read: it is damaged",
        f"{pair.key} holds a private key that cannot be read: it is damaged",
    ]


def test_a_cut_off_certificate(pair: Pair) -> None:
    pair.cert.write_text(pair.pem[:100])
    assert "damaged" in problems_of(pair)[0]


def test_another_key(pair: Pair, tmp_path: Path) -> None:
    other = new_pair(tmp_path, "other")
    (problem,) = problems_of(Pair(pair.cert, other.key))
    assert f"{other.key} does not belong to the certificate in {pair.cert}" in problem


def test_a_chain_that_begins_with_another_certificate(pair: Pair, tmp_path: Path) -> None:
    other = new_pair(tmp_path, "other")
    pair.cert.write_text(other.pem + pair.pem)
    assert "whose first certificate must be the server's own" in problems_of(pair)[0]


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key(pair: Pair, form: PrivateFormat) -> None:
    pair.key.write_bytes(key_text(new_key(), form, b"canary"))
    (problem,) = problems_of(pair)
    assert f"{pair.key} is encrypted, which is not supported" in problem
    assert f"openssl pkey -in {pair.key} -out key.pem" in problem
    assert "canary" not in problem


def test_an_expired_certificate(tmp_path: Path) -> None:
    pair = new_pair(tmp_path, starts=-3 * DAY, ends=-DAY)
    (problem,) = problems_of(pair)
    assert problem.startswith(f"{pair.cert} expired on 20")
    assert problem.endswith("UTC: renew it")


def test_a_certificate_of_tomorrow(tmp_path: Path) -> None:
    pair = new_pair(tmp_path, starts=DAY, ends=3 * DAY)
    assert problems_of(pair)[0].startswith(f"{pair.cert} is not valid before 20")


@pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False)])
def test_one_that_ends_soon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, warned: bool
) -> None:
    pair = new_pair(tmp_path, ends=days * DAY)
    listener_context(pair.cert, pair.key)
    serving = ListenerTls(TlsFiles(pair.cert, pair.key))
    serving.reload(None)
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    # Once for each time that the files are read.
    assert [f"{pair.cert} expires on" in message for message in found] == [True] * 3 * warned


def test_a_log_file_by_mistake(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LARGEST_FILE", 10)
    assert problems_of(pair) == [
        f"{path} is too large for a certificate or key" for path in (pair.cert, pair.key)
    ]


def shown_by(context: ssl.SSLContext) -> str:
    """The certificate of a handshake with the context, made in memory without server name."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(up, down, server_side=True)
    client = client_context.wrap_bio(down, up)
    sides = [client, server]
    while sides:
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found)


def test_reload_shows_the_new_certificate(pair: Pair, tmp_path: Path) -> None:
    context = listener_context(pair.cert, pair.key)
    assert shown_by(context) == pair.pem
    for name in ("second", "third"):
        pair.write(new_pair(tmp_path, name))
        reload_context(context, pair.cert, pair.key)
        assert shown_by(context) == pair.pem


def test_a_bad_reload_keeps_the_old_certificate(pair: Pair, tmp_path: Path) -> None:
    before = pair.pem
    serving = ListenerTls(TlsFiles(pair.cert, pair.key))
    # Half of a rotation: the certificate is new, the key not yet.
    pair.cert.write_text(new_pair(tmp_path, "second").pem)
    with pytest.raises(ConfigError, match="does not belong"):
        serving.reload(None)
    assert shown_by(serving.context) == before
    assert serving.leaf.pem == before
    pair.write(Pair(tmp_path / "second.pem", tmp_path / "second.key"))
    serving.reload(None, in_use=False)
    assert shown_by(serving.context) == before
    serving.reload(None)
    assert shown_by(serving.context) == pair.pem == serving.leaf.pem


def test_reload_from_other_files(pair: Pair, tmp_path: Path) -> None:
    serving = ListenerTls(TlsFiles(pair.cert, pair.key))
    other = new_pair(tmp_path, "other")
    serving.reload(TlsFiles(other.cert, other.key))
    pair.cert.unlink()
    serving.reload(None)
    assert shown_by(serving.context) == other.pem
