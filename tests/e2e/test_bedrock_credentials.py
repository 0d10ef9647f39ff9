"""AWS's own chain of credentials in a daemon: variables, a container's endpoint, none at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anthropic
import pytest

from tests.e2e import bedrock
from tests.e2e.raw import ask
from tests.providers.aws import Services
from tests.simulator import sigv4

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon
    from tests.e2e.daemon import Daemon
    from tests.simulator import Simulator

Model = Callable[[str], str]
REQUESTS = 40


@pytest.fixture
def services() -> Iterator[Services]:
    with Services() as running:
        yield running


def _ask(daemon: Daemon, name: str) -> int:
    body = {"model": f"anthropic.{name}", "max_tokens": 5, "messages": []}
    return ask(daemon.port, "POST", "/anthropic/v1/messages", json.dumps(body).encode()).status


def _options(simulator: Simulator) -> tuple[str, ...]:
    return (
        *("--aibridge-bedrock-region", bedrock.REGION),
        *("--aibridge-bedrock-base-url", simulator.url),
    )


def test_variables_alone(start_daemon: StartDaemon, simulator: Simulator, model: Model) -> None:
    daemon = start_daemon(*_options(simulator), environment=bedrock.AWS_KEYS)
    name = model("text")
    with anthropic.Anthropic(
        base_url=daemon.anthropic_url, api_key=bedrock.CLIENT_KEY, max_retries=0
    ) as client:
        messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": name}]
        client.messages.create(model=f"anthropic.{name}", max_tokens=9, messages=messages)
    request = simulator.wait_for(name.encode())
    bedrock.check_signed(request, sigv4.TEMPORARY_KEY)
    assert request.values("x-amz-security-token") == [sigv4.SESSION_TOKEN]
    bedrock.check_credential(daemon.only(f"anthropic.{name}"), "ASIA...0002")


def test_the_region_of_the_variables(
    start_daemon: StartDaemon, simulator: Simulator, model: Model
) -> None:
    environment = bedrock.AWS_KEYS | {"AWS_REGION": "ap-south-1"}
    table = bedrock.table("bedrock", "anthropic", {"bedrock_base_url": simulator.url})
    daemon = start_daemon(urls=False, environment=environment, configuration=table)
    assert _ask(daemon, model("text")) == 200
    bedrock.check_signed(simulator.requests[-1], sigv4.TEMPORARY_KEY, region="ap-south-1")


def test_a_container_is_asked_once_for_many_requests(
    start_daemon: StartDaemon,
    simulator: Simulator,
    model: Model,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services.key = "ASIACONTAINER0000003"
    monkeypatch.setitem(sigv4.KEYS, services.key, (services.secret, "service-token"))
    uri = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{services.url}/container"}
    daemon = start_daemon(*_options(simulator), environment=uri)
    name = model("text")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: _ask(daemon, name), range(REQUESTS)))
    assert statuses == [200] * REQUESTS
    assert len(services.requests) == 1
    found = daemon.recorded(f"anthropic.{name}")
    assert len(found) == REQUESTS
    signed = [request for request in simulator.signed if request.signed.access_key == services.key]  # type: ignore[union-attr]
    assert len(signed) == REQUESTS
    assert {each.ended["status"] for each in found} == {"completed"}
    bedrock.check_credential(found[-1], "ASIA...0003")
    for file in daemon.folder.iterdir():
        assert b"service-secret" not in file.read_bytes()
        assert b"service-token" not in file.read_bytes()


def test_without_credentials(start_daemon: StartDaemon, simulator: Simulator, model: Model) -> None:
    environment = {"AWS_EC2_METADATA_DISABLED": "true"}
    daemon = start_daemon(*_options(simulator), environment=environment)
    name = f"anthropic.{model('text')}"
    with (
        anthropic.Anthropic(
            base_url=daemon.anthropic_url, api_key=bedrock.CLIENT_KEY, max_retries=0
        ) as client,
        pytest.raises(anthropic.InternalServerError, match="no AWS credentials found") as caught,
    ):
        client.messages.create(model=name, max_tokens=9, messages=[])
    assert caught.value.status_code == 502
    assert not [each for each in simulator.requests if name in each.target]
    ended = daemon.only(name).ended
    assert (ended["status"], ended["error_type"]) == ("failed", "no_aws_credentials")


def test_an_api_key_of_bedrock_s(
    start_daemon: StartDaemon, simulator: Simulator, model: Model
) -> None:
    environment = {"AWS_BEARER_TOKEN_BEDROCK": sigv4.BEARER_TOKEN}
    daemon = start_daemon(*_options(simulator), environment=environment)
    name = model("text")
    assert _ask(daemon, name) == 200
    assert simulator.requests[-1].signed == sigv4.Signed("bearer", "", "bedrock")
    bedrock.check_credential(daemon.only(f"anthropic.{name}"), "bedr...ator")
