"""The lines and objects that `aigw providers` prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aigw.cli.messages import paint
from aigw.cli.provider_text import credentials_text, shown_settings
from aigw.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aigw.gateway.probe import Outcome
    from aigw.provider_settings import ProviderSettings

_GREEN = "32"
_RED = "31"
_DIM = "2"


def provider_objects(
    providers: Sequence[ProviderSettings], status: dict[str, Any] | None, *, origin: bool
) -> list[dict[str, Any]]:
    """Each provider's settings; of a running daemon also whether it is served and its keys' state."""
    objects = []
    for provider in providers:
        shown = shown_settings(provider)
        shown["credentials"] = credentials_text(provider) or ["client's own"]
        if status is not None:
            live = _live(provider, status)
            shown["served"] = live is not None
            shown["key_states"] = _key_states(live)
        if origin:
            shown["origins"] = dict(provider.origins)
        objects.append(shown)
    return objects


def provider_lines(
    providers: Sequence[ProviderSettings], status: dict[str, Any] | None, *, origin: bool
) -> Iterator[str]:
    """A line for each provider, below it its credentials and, wanted, where values came from."""
    width = max((len(provider.name) for provider in providers), default=0)
    kind_width = max((len(provider.type) for provider in providers), default=0)
    for provider in providers:
        name, kind = f"{provider.name:<{width}}", f"{provider.type:<{kind_width}}"
        address = provider.base_url or "(AWS's own region)"
        state = _state(provider, status)
        yield visible(f"{name}  {kind}  {address}{f'  {state}' if state else ''}")
        yield from (f"    {visible(line)}" for line in _details(provider, status))
        if origin:
            came = provider.origins or {"everything": "default"}
            for setting, place in came.items():
                yield paint(f"    {setting}: {visible(place)}", _DIM, sys.stdout)


def _state(provider: ProviderSettings, status: dict[str, Any] | None) -> str:
    if not provider.enabled:
        return "off"
    # A daemon that does not answer says nothing of what it serves.
    if status is None or not isinstance(status.get("providers"), list):
        return ""
    return "" if _live(provider, status) else "not in the running gateway yet: aigw reload"


def _details(provider: ProviderSettings, status: dict[str, Any] | None) -> Iterator[str]:
    bedrock = provider.bedrock
    if bedrock is not None:
        yield f"region {bedrock.region or '(AWS decides)'}, {bedrock.protocol}, {bedrock.model}"
    credentials = credentials_text(provider)
    if not credentials:
        yield "key: client's own"
        return
    states = _key_states(_live(provider, status) if status else None)
    # Positions are those of the configuration, unless the daemon still has another one.
    if len(states) != len(credentials):
        states = []
    for index, credential in enumerate(credentials):
        state = f"  {_key_state(states[index])}" if states else ""
        label = "" if credential.startswith("AWS") else "key: "
        yield f"{label}{credential}{state}"


def _key_state(state: dict[str, Any]) -> str:
    seconds = state["seconds"]
    return f"{state['state']}, {seconds:.0f} s left" if seconds else str(state["state"])


def _live(provider: ProviderSettings, status: dict[str, Any]) -> dict[str, Any] | None:
    """What the running daemon says of the provider; None when it does not serve it."""
    served = status.get("providers")
    for each in served if isinstance(served, list) else ():
        if isinstance(each, dict) and each.get("name") == provider.name:
            return each
    return None


def _key_states(live: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The keys' states as a daemon of this or another version gives them."""
    keys = live.get("keys") if live else None
    states = []
    for key in keys if isinstance(keys, list) else ():
        if isinstance(key, dict):
            seconds = key.get("seconds")
            states.append(
                {
                    "hint": str(key.get("hint", "")),
                    "state": str(key.get("state", "")),
                    "seconds": seconds if isinstance(seconds, int | float) else 0,
                }
            )
    return states


def outcome_line(provider: ProviderSettings, outcome: Outcome) -> str:
    """What came of one request, for a person."""
    mark = paint("ok", _GREEN, sys.stdout) if outcome.ok else paint("failed", _RED, sys.stdout)
    key = f" {outcome.key}" if outcome.key else ""
    return (
        f"{mark}  {provider.name}{visible(key)}: {visible(outcome.message)} "
        f"({outcome.milliseconds} ms)"
    )
