"""Every credential precedence as a table, through the real listener: what was sent, to whom it went.

A row names what the client sends: `header:what`, where what is `A` or `B` (gateway keys), `own` (a
credential of the client's), `bad` (a key that is not known) or `torn` (half a key). A cell says what
the provider saw, or with which error the gateway answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.e2e.asking import CHAT, JSON_HEADERS, MESSAGES, Api
from tests.e2e.control import at, credentials_seen, new_key, providers_text
from tests.e2e.daemon import Daemon
from tests.e2e.raw import Headers, ask
from tests.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path

Model = Callable[[str], str]

# central: a key of the operator's, and users may bring their own; claude and azure: the same for
# other types; own: no key; shut: a key, no other may be brought; none: neither; plan: the user's
# own login only.
COLUMNS = ("central", "claude", "azure", "own", "shut", "none", "plan")
KEYED = """
nothing               missing  missing  missing  missing  missing  missing  missing
auth:A                central  central  central  no-key   central  no-key   no-key
raw:A                 central  central  central  no-key   central  no-key   no-key
lower:A               central  central  central  no-key   central  no-key   no-key
x:A                   central  central  central  no-key   central  no-key   no-key
azure:A               central  central  central  no-key   central  no-key   no-key
google:A              central  central  central  no-key   central  no-key   no-key
session:A             missing  missing  missing  missing  missing  missing  missing
gov:A                 central  central  central  -        central  byok-off no-login
gov:A auth:own        auth     auth     auth     auth     byok-off byok-off auth
gov:A x:own           x        x        x        x        byok-off byok-off x
gov:A auth:own x:own  both     both     both     both     byok-off byok-off both
gov:A azure:own       central  central  azure    azure    central  byok-off no-login
gov:A auth:B          central  central  central  -        central  byok-off no-login
gov:A session:own     central  central  central  -        central  byok-off no-login
gov:own auth:A        central  central  central  no-key   central  no-key   no-key
auth:A x:own          central  central  central  no-key   central  no-key   no-key
auth:own x:A          central  central  central  no-key   central  no-key   no-key
auth:own auth:A       central  central  central  no-key   central  no-key   no-key
auth:A x:B            central  central  central  no-key   central  no-key   no-key
auth:own              other    other    other    other    other    other    other
x:own                 other    other    other    other    other    other    other
gov:own               other    other    other    other    other    other    other
auth:bad              unknown  unknown  unknown  unknown  unknown  unknown  unknown
gov:bad auth:A        unknown  unknown  unknown  unknown  unknown  unknown  unknown
auth:torn             torn     torn     torn     torn     torn     torn     torn
"""
OPEN = """
nothing               central  central  central  -        central  byok-off no-login
auth:own              central  central  central  auth     central  byok-off auth
x:own                 central  central  central  x        central  byok-off x
auth:own x:own        central  central  central  both     central  byok-off both
azure:own             central  central  central  azure    central  byok-off no-login
gov:own               central  central  central  -        central  byok-off no-login
gov:own auth:own      central  central  central  auth     central  byok-off auth
session:own auth:own  central  central  central  auth     central  byok-off auth
auth:bad              central  central  central  -        central  byok-off no-login
gov:bad x:own         central  central  central  x        central  byok-off x
"""
ERRORS = {
    "missing": (401, "missing_gateway_key"),
    "other": (401, "not_a_gateway_key"),
    "unknown": (401, "unknown_gateway_key"),
    "torn": (401, "malformed_gateway_key"),
    "no-login": (401, "no_credential"),
    "no-key": (403, "no_central_key"),
    "byok-off": (403, "byok_not_allowed"),
}
SENT_IN = {
    "auth": ("Authorization", "Bearer {}"),
    "raw": ("Authorization", "{}"),
    "lower": ("authorization", "bearer  {}"),
    "x": ("X-Api-Key", "{}"),
    "azure": ("api-key", "{}"),
    "google": ("X-Goog-Api-Key", "{}"),
    "gov": ("X-Coder-AI-Governance-Token", "{}"),
    "session": ("Coder-Session-Token", "{}"),
}
OWN = {name: f"own-{name}-canary-0123456789-{name:.>4}" for name in SENT_IN}
HINTS = {name: f"own-...{value[-4:]}" for name, value in OWN.items()}
CENTRAL = "sk-central-canary-0123456789"
CENTRAL_AT = {
    "central": {"authorization": f"Bearer {CENTRAL}"},
    "shut": {"authorization": f"Bearer {CENTRAL}"},
    "claude": {"x-api-key": CENTRAL},
    "azure": {"api-key": CENTRAL},
}
SEEN = {
    "-": {},
    "auth": {"authorization": f"Bearer {OWN['auth']}"},
    "x": {"x-api-key": OWN["x"]},
    "both": {"authorization": f"Bearer {OWN['auth']}", "x-api-key": OWN["x"]},
    "azure": {"api-key": OWN["azure"]},
}
BAD = "aigw_zzzzzzzzzz_" + "0" * 43


class Site(NamedTuple):
    """A daemon with the providers of the table, and the gateway keys: token and id by name."""

    daemon: Daemon
    keys: dict[str, tuple[str, str]]


def _providers(simulator: Simulator) -> str:
    openai = {"type": "openai", "base_url": simulator.openai_url}
    central = {"key": CENTRAL}
    shut = {"allow_byok": False}
    return providers_text(
        [
            {"name": "central", **openai, **central},
            {"name": "claude", "type": "anthropic", "base_url": simulator.url, **central},
            {"name": "azure", "type": "azure", "base_url": simulator.openai_url, **central},
            {"name": "own", **openai},
            {"name": "shut", **openai, **central, **shut},
            {"name": "none", **openai, **shut},
            {"name": "plan", "type": "chatgpt", "base_url": simulator.openai_url},
        ]
    )


def _site(simulator: Simulator, folder: Path, names: str) -> Iterator[Site]:
    config = folder / "config.toml"
    config.write_text(_providers(simulator))
    config.chmod(0o600)
    urls = (simulator.openai_url, simulator.anthropic_url)
    with Daemon(folder, *urls, "--config", str(config)) as daemon:
        yield Site(daemon, {name: new_key(daemon.database, name) for name in names})


@pytest.fixture(scope="module")
def keyed(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _site(simulator, tmp_path_factory.mktemp("keyed"), "AB")


@pytest.fixture(scope="module")
def unkeyed(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _site(simulator, tmp_path_factory.mktemp("open"), "")


def _rows(table: str) -> list[Any]:
    rows = []
    for line in table.strip().splitlines():
        sent, cells = line[:22].strip(), line[22:].split()
        assert len(cells) == len(COLUMNS), line
        rows.append(pytest.param(sent, dict(zip(COLUMNS, cells, strict=True)), id=sent))
    return rows


def _headers(sent: str, keys: dict[str, tuple[str, str]]) -> Headers:
    headers = []
    for word in sent.split() if sent != "nothing" else ():
        short, _, what = word.partition(":")
        if what in ("A", "B"):
            value = keys[what][0]
        else:
            value = {"own": OWN[short], "bad": BAD, "torn": "aigw_torn"}[what]
        name, form = SENT_IN[short]
        headers.append((name.encode(), form.format(value).encode()))
    return headers


def _api(provider: str) -> Api:
    return MESSAGES if provider == "claude" else CHAT


def _hint(provider: str, cell: str) -> tuple[str, str]:
    """The kind and the hint that are recorded. Where a client sends both, Bearer goes first but at
    Anthropic, as in the reference (surface page, section 3)."""
    if cell == "central":
        return "centralized", "sk-c...6789"
    if cell == "-" or (cell == "azure" and provider != "azure"):
        return "", ""
    first = "x" if provider == "claude" else "auth"
    return "byok", HINTS[first if cell == "both" else cell]


def _check(
    site: Site, simulator: Simulator, model: Model, sent: str, provider: str, cell: str
) -> None:
    """One cell: a recorded request and one that is passed through."""
    api, headers = _api(provider), _headers(sent, site.keys)
    name = model("text")
    port = site.daemon.port
    answer = ask(port, "POST", at(api, provider), api.body(name), JSON_HEADERS + headers)
    passed = ask(port, "GET", f"/{provider}/v1/models/{name}", None, headers)
    where = f"{sent!r} at {provider}"
    if cell in ERRORS:
        for refused in (answer, passed):
            body = json.loads(refused.body)
            assert (refused.status, body["error"]["code"]) == ERRORS[cell], where
            assert bool(refused.values("www-authenticate")) is (refused.status == 401)
            assert bool(refused.values("x-should-retry")) is (refused.status == 401)
        assert simulator.matching(name.encode()) == []
        return
    assert (answer.status, passed.status) == (200, 200), (where, answer.body, passed.body)
    expected = CENTRAL_AT[provider] if cell == "central" else SEEN[cell]
    for received in simulator.matching(name.encode()):
        assert credentials_seen(received) == expected, where
    start = site.daemon.only(name).start
    assert (start["credential_kind"], start["credential_hint"]) == _hint(provider, cell), where
    who = ("A@example.com", site.keys["A"][1]) if site.keys else ("local", None)
    assert (start["initiator_id"], start["api_key_id"]) == who, where


@pytest.mark.parametrize(("sent", "cells"), _rows(KEYED))
def test_with_gateway_keys(
    keyed: Site, simulator: Simulator, model: Model, sent: str, cells: dict[str, str]
) -> None:
    for provider, cell in cells.items():
        _check(keyed, simulator, model, sent, provider, cell)


@pytest.mark.parametrize(("sent", "cells"), _rows(OPEN))
def test_in_open_mode(
    unkeyed: Site, simulator: Simulator, model: Model, sent: str, cells: dict[str, str]
) -> None:
    for provider, cell in cells.items():
        _check(unkeyed, simulator, model, sent, provider, cell)
