"""What the tests of keys, limits, breakers and pools share: providers in a file, keys, metrics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import tomli_w
from prometheus_client.parser import text_string_to_metric_families

from aigw import clock
from aigw.store.key_changes import NewKey, create_key
from tests.e2e.asking import JSON_HEADERS, Api
from tests.e2e.daemon import Daemon, fetch, run_aigw
from tests.e2e.raw import Answer, Headers, ask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.simulator import Received

METRICS = ("--prometheus-enable", "--prometheus-address", "127.0.0.1:0")

CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
OWN_HEADERS = (*CREDENTIAL_HEADERS, "x-coder-ai-governance-token", "coder-session-token")


def providers_text(providers: Sequence[dict[str, Any]]) -> str:
    """`[[providers]]` tables, which may stand behind other tables."""
    tables = (tomli_w.dumps(provider).replace("\n[", "\n[providers.") for provider in providers)
    return "".join(f"[[providers]]\n{table}\n" for table in tables)


def new_key(database: Path, name: str, **more: Any) -> tuple[str, str]:
    """Make a key as `aigw keys create` does, without a process for it: its token and its id."""
    fields = {"user": f"{name}@example.com", **more}
    issued = create_key(database, NewKey(name=name, **fields), clock.now())
    return issued.token.reveal(), issued.key.id


def keys_command(daemon: Daemon, *words: str) -> str:
    """What an `aigw keys` command prints on the daemon's database."""
    done = run_aigw(daemon.folder, "keys", *words, "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bearer(token: str) -> Headers:
    """The header that most clients send a key in."""
    return [(b"Authorization", f"Bearer {token}".encode())]


def at(api: Api, provider: str) -> str:
    """The path of an API at a provider of another name than its type's."""
    return f"/{provider}{api.path.removeprefix(f'/api/v2/aibridge/{api.provider}')}"


def chat(
    daemon: Daemon, provider: str, api: Api, model: str, token: str = "", **more: Any
) -> Answer:
    """Ask once, with a gateway key as bearer if there is one."""
    headers = JSON_HEADERS + (bearer(token) if token else [])
    return ask(daemon.port, "POST", at(api, provider), api.body(model, **more), headers)


def credentials_seen(received: Received) -> dict[str, str]:
    """Every credential that a provider saw, the gateway's own headers included."""
    return {name: value for name in OWN_HEADERS for value in received.values(name)}


def status_of(daemon: Daemon) -> dict[str, Any]:
    """What `aigw status --json` says."""
    return aigw_json(daemon, "status", "--json")  # type: ignore[no-any-return]


def aigw_json(daemon: Daemon, *words: str) -> Any:
    """What a command prints as JSON."""
    done = run_aigw(daemon.folder, *words, "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def metric(daemon: Daemon, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels; `name` without the common prefix."""
    status, text = fetch(f"http://{daemon.metrics_address}/metrics")
    assert status == 200
    wanted = f"coder_aibridged_{name}"
    found = [
        sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == wanted and labels.items() <= sample.labels.items()
    ]
    return sum(found)
