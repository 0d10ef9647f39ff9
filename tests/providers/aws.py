"""A machine without any AWS configuration, and the services that give out credentials, on loopback."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def forget_aws(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """An environment that holds nothing of AWS's, and an empty home."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / ".aws" / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / ".aws" / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (home / ".aws").mkdir()


class Services:
    """The container's, the instance's, STS's and SSO's endpoint in one.

    `life` is how many seconds the next credentials are valid, `status` what is answered, `key` the
    access key id. `requests` are the paths asked so far for credentials. While `open` is clear,
    answers wait.
    """

    def __init__(self) -> None:
        self.life = 3600.0
        self.status = 200
        self.key = ""
        self.secret = "service-secret"
        self.requests: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def expiry(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.life)

    def credentials(self, default: str) -> dict[str, Any]:
        return {
            "Code": "Success",
            "AccessKeyId": self.key or default,
            "SecretAccessKey": self.secret,
            "Token": "service-token",
            "Expiration": self.expiry().strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def _handler(services: Services) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, body: bytes, kind: str = "application/json", **headers: str) -> None:
            self.send_response(services.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def asked(self) -> None:
            services.requests.append(self.path)
            services.open.wait(10)

        def do_PUT(self) -> None:
            self.answer(b"token", X_aws_ec2_metadata_token_ttl_seconds="60")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.asked()
            self.answer(_assumed(services), "text/xml")

        def do_GET(self) -> None:
            if self.path.endswith("/security-credentials/"):
                self.answer(b"role")
                return
            self.asked()
            if self.path.startswith("/federation/"):
                self.answer(_federated(services))
            else:
                default = "CONTAINER" if self.path == "/container" else "INSTANCE"
                self.answer(json.dumps(services.credentials(default)).encode())

    return Handler


def _assumed(services: Services) -> bytes:
    found = services.credentials("WEBIDENTITY")
    return (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        "<AssumeRoleWithWebIdentityResult><Credentials>"
        f"<AccessKeyId>{found['AccessKeyId']}</AccessKeyId>"
        f"<SecretAccessKey>{found['SecretAccessKey']}</SecretAccessKey>"
        f"<SessionToken>{found['Token']}</SessionToken>"
        f"<Expiration>{found['Expiration']}</Expiration>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    ).encode()


def _federated(services: Services) -> bytes:
    found = services.credentials("SSO")
    return json.dumps(
        {
            "roleCredentials": {
                "accessKeyId": found["AccessKeyId"],
                "secretAccessKey": found["SecretAccessKey"],
                "sessionToken": found["Token"],
                "expiration": int(services.expiry().timestamp() * 1000),
            }
        }
    ).encode()
