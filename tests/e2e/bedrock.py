"""What the tests of Bedrock share: daemons' settings, clients, and what AWS must and must not see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.simulator import sigv4

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.store import Interception
    from tests.simulator import Received, Simulator

REGION = "eu-west-3"
CLIENT_KEY = "sk-ant-canary-of-the-client-71c0"
CLIENT_ACCESS_KEY = "AKIACANARYOFTHECLIENT"
CLIENT_SECRET = "canary/of+the/client/0123456789abcdefghij"
ANTHROPIC_KEY = "sk-ant-canary-of-the-gateway-52ff"
ARN = "arn:aws:bedrock:eu-west-3:123456789012:inference-profile/eu.anthropic."
"""Of an inference profile; a model of the simulator's follows."""

AWS_KEYS = {
    "AWS_ACCESS_KEY_ID": sigv4.TEMPORARY_KEY,
    "AWS_SECRET_ACCESS_KEY": sigv4.TEMPORARY_SECRET,
    "AWS_SESSION_TOKEN": sigv4.SESSION_TOKEN,
}
"""AWS's own variables, with temporary credentials."""

WEATHER_CONVERSE = {
    "tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": {"type": "object"}}}}]
}


def legacy(simulator: Simulator) -> tuple[str, ...]:
    """The single options of Bedrock."""
    return (
        *("--aibridge-bedrock-region", REGION),
        *("--aibridge-bedrock-base-url", simulator.url),
        *("--aibridge-bedrock-access-key", sigv4.ACCESS_KEY),
        *("--aibridge-bedrock-access-key-secret", sigv4.SECRET_KEY),
    )


def table(kind: str, name: str, settings: Mapping[str, Any]) -> str:
    """A `[[providers]]` table of TOML."""
    lines = ["[[providers]]", f"type = {json.dumps(kind)}", f"name = {json.dumps(name)}"]
    lines += [f"{key} = {_toml(value)}" for key, value in settings.items()]
    return "\n".join([*lines, "", ""])


def _toml(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return f"{{{', '.join(f'{json.dumps(key)} = {_toml(each)}' for key, each in value.items())}}}"


def runtime(
    url: str, access_key: str = CLIENT_ACCESS_KEY, secret: str = CLIENT_SECRET, region: str = REGION
) -> Any:
    """boto3's client of the Bedrock runtime. It does not try again: a test counts requests."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    return boto3.session.Session().client(
        "bedrock-runtime",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=config,
    )


def check_signed(
    request: Received, key: str = sigv4.ACCESS_KEY, service: str = "bedrock", region: str = REGION
) -> None:
    """AWS accepted the signature; nothing of the client's or of Anthropic's was in the request."""
    assert request.signed == sigv4.Signed(key, region, service)
    seen = (request.head + request.framed).lower()
    for secret in ("canary", "aigw_", sigv4.SECRET_KEY, sigv4.TEMPORARY_SECRET):
        assert secret.lower().encode() not in seen
    assert request.values("x-api-key") == []


def check_credential(found: Interception, hint: str) -> None:
    """The record says that the gateway's own credential was used."""
    start = found.start
    assert (start["credential_kind"], start["credential_hint"]) == ("centralized", hint)
    assert start["provider"] == "anthropic"
