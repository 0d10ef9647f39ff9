"""`aigw providers`: against a simulated provider, closed ports and bad certificates."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aigw.cli import providers
from aigw.cli.complete_line import candidates
from aigw.cli.main import main
from tests.home import use_home
from tests.simulator import Script, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CANARY = "sk-canary-0123456789abcdef"
OTHER = "sk-second-0123456789abcdef"
ONE = "CODER_AIBRIDGE_PROVIDER_0"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_home(monkeypatch, tmp_path / "home")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> Callable[..., None]:
    """Configure provider 0."""
    simulator.clear_scripts()
    simulator.forget()

    def configure(**settings: str) -> None:
        for name, text in settings.items():
            monkeypatch.setenv(f"{ONE}_{name}", text)

    return configure


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["providers", *words])
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    assert OTHER not in out + err
    return code, out, err


def checks_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, _ = run(capsys, "test", *words, "--json")
    report = json.loads(out)
    assert report["ok"] == (code == 0)
    return code, report["checks"]


def test_a_good_key(
    configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(
        TYPE="openai", NAME="sim", BASE_URL=simulator.openai_url, KEY=CANARY, HEADERS="X-Team=a"
    )
    code, out, err = run(capsys, "test", "sim")
    assert (code, err) == (0, "")
    assert out.startswith("ok  sim sk-c...cdef: the provider answers (")
    [request] = simulator.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.value("authorization") == f"Bearer {CANARY}"
    assert request.value("x-team") == "a"
    code, [check] = checks_of(capsys, "sim")
    assert (code, check["problem"], check["key"]) == (0, None, "sk-c...cdef")
    assert isinstance(check["milliseconds"], int)


def test_a_model_is_asked_for_one_token(
    configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(TYPE="anthropic", NAME="sim", BASE_URL=simulator.anthropic_url, KEY=CANARY)
    code, out, _ = run(capsys, "test", "sim", "--model", "sim-text")
    assert code == 0
    assert "model sim-text answers" in out
    [request] = simulator.requests
    assert request.path == "/v1/messages"
    assert request.value("x-api-key") == CANARY
    assert request.value("authorization") is None
    assert request.json()["max_tokens"] == 1


def test_each_key_of_a_pool_is_tried(
    configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(
        TYPE="openai", NAME="sim", BASE_URL=simulator.openai_url, KEYS=f"{CANARY},{OTHER},third"
    )
    refused = json.dumps({"error": {"message": f"Incorrect API key: {OTHER}"}}).encode()
    headers = [("Content-Type", "application/json")]
    simulator.script(Script(status=401, headers=headers, body=refused), match=OTHER.encode())
    simulator.script(Script(status=429, headers=headers, body=b"{}"), match=b"Bearer third")
    code, checks = checks_of(capsys, "sim")
    assert code == 1
    assert [check["problem"] for check in checks] == [None, "key_refused", "rate_limited"]
    assert checks[1]["message"] == "the key is refused (401): Incorrect API key: sk-s...cdef"


def test_without_a_key_it_is_reachable(
    configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(TYPE="openai", NAME="sim", BASE_URL=simulator.openai_url)
    simulator.script(Script(status=401, body=b"{}"))
    code, [check] = checks_of(capsys, "sim")
    assert (code, check["key"]) == (0, "")
    assert "no central key" in check["message"]


@pytest.mark.parametrize("kind", ["copilot", "chatgpt"])
def test_personal_ones_are_only_reached(
    kind: str, configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(TYPE=kind, NAME="sim", BASE_URL=simulator.openai_url)
    simulator.script(Script(status=401, body=b"{}"))
    code, [check] = checks_of(capsys, "sim", "--model", "m")
    assert code == 0
    assert "user's own login" in check["message"]
    assert simulator.requests[0].value("authorization") is None


def test_bedrock_by_an_api_key(
    configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(
        TYPE="bedrock",
        NAME="sim",
        BEDROCK_BASE_URL=simulator.url,
        BEDROCK_REGION="us-east-1",
        BEDROCK_MODEL="vendor.model-1:0",
        KEY=CANARY,
    )
    headers = [("Content-Type", "application/json")]
    said = b'{"message":"The provided model identifier is invalid."}'
    simulator.script(
        Script(status=400, headers=headers, body=said),
        Script(status=200, headers=headers, body=b'{"type":"message"}'),
    )
    code, [check] = checks_of(capsys, "sim")
    assert (code, check["problem"]) == (1, "model")
    assert check["message"] == (
        "model vendor.model-1:0 in region us-east-1 is not served (400): "
        "The provided model identifier is invalid."
    )
    request = simulator.requests[0]
    assert request.path == "/model/vendor.model-1%3A0/invoke"
    assert request.value("authorization") == f"Bearer {CANARY}"
    assert checks_of(capsys, "sim")[0] == 0


def test_a_wrong_base_url(
    configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(TYPE="openai", NAME="sim", BASE_URL=f"{simulator.url}/wrong", KEY=CANARY)
    simulator.script(
        Script(status=404, headers=[("Content-Type", "text/html")], body=b"<html>"),
        Script(status=302, headers=[("Location", "https://elsewhere/")], body=b""),
    )
    for _ in range(2):
        code, [check] = checks_of(capsys, "sim")
        assert (code, check["problem"]) == (1, "base_url")


def test_an_answer_that_breaks_off(
    configured: Any, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(TYPE="openai", NAME="sim", BASE_URL=simulator.openai_url, KEY=CANARY)
    simulator.script(Script(body=b'{"data": []}', ending="close", cut=5))
    code, [check] = checks_of(capsys, "sim")
    assert (code, check["problem"]) == (1, "upstream_disconnected")


def test_nothing_listens(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it
        port = taken.getsockname()[1]
        configured(TYPE="openai", NAME="sim", BASE_URL=f"http://127.0.0.1:{port}/v1", KEY=CANARY)
        code, [check] = checks_of(capsys, "sim")
    assert (code, check["problem"]) == (1, "refused")
    assert check["message"] == (f"nothing listens at 127.0.0.1:{port}: the connection was refused")


def test_an_unknown_host(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured(TYPE="openai", NAME="sim", BASE_URL="https://no-such-host.invalid/v1", KEY=CANARY)
    code, [check] = checks_of(capsys, "sim")
    assert (code, check["problem"]) == (1, "dns")


def test_no_answer_in_time(
    configured: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aigw.gateway.probe.ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        configured(TYPE="openai", NAME="sim", BASE_URL=f"http://127.0.0.1:{port}/v1", KEY=CANARY)
        code, [check] = checks_of(capsys, "sim")
    assert (code, check["problem"]) == (1, "timeout")


def certificate(folder: Path, host: str, *, days: int) -> ssl.SSLContext:
    """A server's TLS with a self-signed certificate that ends in `days` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "aigw test")])
    end = datetime.now(UTC) + timedelta(days=days)
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=30))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize(
    ("host", "days", "trusted", "problem"),
    [
        ("127.0.0.1", 20, True, None),
        ("127.0.0.1", 20, False, "tls_untrusted"),
        ("127.0.0.1", -1, True, "tls_expired"),
        ("127.0.0.1", 50, True, "tls_expired"),
        ("other.example", 20, True, "tls_name"),
    ],
)
def test_certificates(
    host: str,
    days: int,
    trusted: bool,
    problem: str | None,
    configured: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = certificate(tmp_path, host, days=days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    with Simulator(tls=context) as secure:
        configured(TYPE="openai", NAME="sim", BASE_URL=secure.openai_url, KEY=CANARY)
        code, [check] = checks_of(capsys, "sim")
    assert (code, check["problem"]) == (0 if problem is None else 1, problem)
    if problem:
        assert "certificate" in check["message"]


def test_https_where_there_is_none(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def refuse() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                connection.recv(65536)

        server = threading.Thread(target=refuse)
        server.start()
        base_url = f"https://127.0.0.1:{plain.getsockname()[1]}/v1"
        configured(TYPE="openai", NAME="sim", BASE_URL=base_url, KEY=CANARY)
        code, [check] = checks_of(capsys, "sim")
        server.join()
    assert (code, check["problem"]) == (1, "tls")
    assert "Does it speak https" in check["message"]


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "test", "opnai")
    assert (code, out) == (2, "")
    assert err == "Error: no provider is called 'opnai' (did you mean openai?)\n"
    assert "there are openai, anthropic" in run(capsys, "test", "zzz")[2]


def test_a_wrong_configuration(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured(TYPE="opanai")
    for words in (["list"], ["test", "openai"]):
        code, out, err = run(capsys, *words)
        assert (code, out) == (2, "")
        assert "unknown provider type" in err


def test_list(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured(TYPE="openai", NAME="team-a", KEYS=f"{CANARY},cmd:no-such-program x")
    code, out, err = run(capsys, "list", "--origin")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "openai     openai     https://api.openai.com/v1"
    assert lines[1] == "    key: client's own"
    team = lines.index("team-a     openai     https://api.openai.com/v1")
    assert lines[team + 1] == "    key: sk-c...cdef"
    assert lines[team + 2] == "    key: not read (cmd:no-such-program ...)"
    assert f"    keys: variable {ONE}_KEYS" in lines
    code, out, _ = run(capsys, "list", "--json", "--origin")
    listed = {each["name"]: each for each in json.loads(out)}
    assert listed["team-a"]["credentials"] == [
        "sk-c...cdef",
        "not read (cmd:no-such-program ...)",
    ]
    assert listed["openai"]["credentials"] == ["client's own"]
    assert listed["team-a"]["origins"]["keys"] == f"variable {ONE}_KEYS"
    assert "served" not in listed["team-a"]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "AWS's own chain"),
        ({"BEDROCK_PROFILE": "team"}, "AWS profile team"),
        (
            {"BEDROCK_ACCESS_KEY": CANARY, "BEDROCK_ACCESS_KEY_SECRET": OTHER},
            "key: sk-c...cdef",
        ),
        ({"KEY": CANARY}, "key: sk-c...cdef"),
    ],
)
def test_list_of_bedrock(
    settings: dict[str, str],
    shown: str,
    configured: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configured(TYPE="bedrock", BEDROCK_REGION="us-east-1", BEDROCK_MODEL="m-1", **settings)
    lines = run(capsys, "list")[1].splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("bedrock"))
    assert lines[row].endswith("https://bedrock-runtime.us-east-1.amazonaws.com")
    assert lines[row + 1 :] == ["    region us-east-1, invoke, m-1", f"    {shown}"]


STATUS = {
    "providers": [
        {"name": "openai", "keys": []},
        {
            "name": "team-a",
            "keys": [
                {"hint": "sk-c...cdef", "state": "resting", "seconds": 41.6},
                {"hint": "sk-s...cdef", "state": "ready", "seconds": 0},
            ],
        },
    ]
}


def test_list_beside_a_running_daemon(
    configured: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(TYPE="openai", NAME="team-a", KEYS=f"{CANARY},{OTHER}")
    monkeypatch.setattr(providers, "daemon_status", lambda _: STATUS)
    lines = run(capsys, "list")[1].splitlines()
    assert "    key: sk-c...cdef  resting, 42 s left" in lines
    assert "    key: sk-s...cdef  ready" in lines
    assert any(
        line.startswith("anthropic") and "not in the running gateway" in line for line in lines
    )
    listed = {each["name"]: each for each in json.loads(run(capsys, "list", "--json")[1])}
    assert (listed["team-a"]["served"], listed["anthropic"]["served"]) == (True, False)
    assert listed["team-a"]["key_states"][0]["state"] == "resting"


@pytest.mark.parametrize(
    "status",
    [
        {"problem": "the daemon does not answer"},
        {"providers": "nonsense"},
        {"providers": [5, {"name": "team-a", "keys": [5, {}]}]},
        {"providers": [{"name": "team-a"}]},
    ],
)
def test_a_daemon_of_another_version(
    status: dict[str, Any],
    configured: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured(TYPE="openai", NAME="team-a", KEYS=f"{CANARY},{OTHER}")
    monkeypatch.setattr(providers, "daemon_status", lambda _: status)
    assert "    key: sk-c...cdef" in run(capsys, "list")[1].splitlines()
    assert run(capsys, "list", "--json")[0] == 0


def test_names_complete(configured: Any) -> None:
    configured(TYPE="openai", NAME="team-a")
    names = [candidate.value for candidate in candidates(["providers", "test"], "")]
    assert names == ["anthropic", "openai", "team-a"]
    configured(TYPE="nonsense")
    assert [c.value for c in candidates(["providers", "test"], "")] == []
