"""Where requests go: base URLs with paths, HTTP proxies, TLS and whom it trusts."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.asking import APIS, CHAT, JSON_HEADERS, MESSAGES, check_error
from tests.e2e.daemon import Daemon
from tests.e2e.raw import ask
from tests.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path

Model = Callable[[str], str]


@pytest.mark.parametrize(
    ("openai_base", "anthropic_base", "openai_path", "anthropic_path"),
    [
        ("/v1", "", "/v1/", "/v1/"),
        ("/proxy/openai/v1/", "/proxy/anthropic/", "/proxy/openai/v1/", "/proxy/anthropic/v1/"),
        ("/api", "/api", "/api/", "/api/v1/"),
    ],
)
def test_base_urls_with_a_path(
    simulator: Simulator,
    tmp_path: Path,
    model: Model,
    openai_base: str,
    anthropic_base: str,
    openai_path: str,
    anthropic_path: str,
) -> None:
    with Daemon(tmp_path, simulator.url + openai_base, simulator.url + anthropic_base) as daemon:
        for prefix in ("", "/api/v2/aibridge", "/api/v2/ai-gateway"):
            for path, expected in (
                ("/openai/v1/chat/completions", f"{openai_path}chat/completions"),
                ("/openai/v1/responses", f"{openai_path}responses"),
                ("/openai/v1/models/x", f"{openai_path}models/x"),
                ("/anthropic/v1/messages", f"{anthropic_path}messages"),
                ("/anthropic/v1/models", f"{anthropic_path}models"),
            ):
                name = model("text")
                body = MESSAGES.body(name)
                ask(daemon.port, "POST", f"{prefix}{path}?a=b%20c", body, JSON_HEADERS)
                assert simulator.wait_for(name.encode()).target == f"{expected}?a=b%20c"


def test_an_http_proxy_is_used(simulator: Simulator, tmp_path: Path, model: Model) -> None:
    proxy = {"HTTP_PROXY": simulator.url}
    with Daemon(
        tmp_path,
        "http://openai.invalid/v1/",
        "http://anthropic.invalid:8080/",
        environment=proxy,
    ) as daemon:
        for api, host in ((CHAT, "openai.invalid"), (MESSAGES, "anthropic.invalid:8080")):
            name = model("text")
            answer = ask(daemon.port, "POST", api.path, api.body(name), JSON_HEADERS)
            assert answer.status == 200
            request = simulator.wait_for(name.encode())
            assert request.target == f"http://{host}{api.upstream}"
            assert request.values("host") == [host]
            assert daemon.only(name).status == "completed"


def test_no_proxy_is_honoured(simulator: Simulator, tmp_path: Path, model: Model) -> None:
    environment = {
        "HTTP_PROXY": "http://user:canary-of-the-proxy@127.0.0.1:9",
        "NO_PROXY": "example.com,127.0.0.1",
    }
    urls = (simulator.openai_url, "http://anthropic.invalid/")
    with Daemon(tmp_path, *urls, environment=environment) as daemon:
        assert ask(daemon.port, "POST", CHAT.path, CHAT.body(model("text"))).status == 200
        name = model("text")
        answer = ask(daemon.port, "POST", MESSAGES.path, MESSAGES.body(name))
        message = check_error(answer, "anthropic", 502)
        assert "proxy" in message
        assert "canary" not in message
        assert "canary" not in str(daemon.only(name).ended)
    assert "canary" not in daemon.log


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, key and certificate in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulator")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(private + certificate.public_bytes(encoding))
    return path


@pytest.fixture(scope="module")
def secure(certificate: Path) -> Iterator[Simulator]:
    """The simulator behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Simulator(tls=context) as running:
        yield running


def test_tls_with_an_unknown_issuer_is_refused(
    secure: Simulator, tmp_path: Path, model: Model
) -> None:
    with Daemon(tmp_path, secure.openai_url, secure.anthropic_url) as daemon:
        for api in APIS:
            name = model("text")
            answer = ask(daemon.port, "POST", api.path, api.body(name))
            assert "TLS" in check_error(answer, api.provider, 502)
            assert secure.matching(name.encode()) == []
            assert daemon.only(name).ended["error_type"] == "upstream_tls"


@pytest.mark.skipif(os.name == "nt", reason="the system store is not a file there")
def test_tls_trusts_what_the_system_trusts(
    secure: Simulator, certificate: Path, tmp_path: Path, model: Model
) -> None:
    environment = {"SSL_CERT_FILE": str(certificate)}
    urls = (secure.openai_url, secure.anthropic_url)
    with Daemon(tmp_path, *urls, environment=environment) as daemon:
        for api in APIS:
            name = model("tools-2")
            answer = ask(daemon.port, "POST", api.path, api.body(name, stream=True))
            assert answer.complete
            assert api.terminal in answer.body
            assert len(daemon.only(name).tool_usages) == 2
