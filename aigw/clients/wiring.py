"""How a client is pointed at the gateway: the lines a user pastes. docs/clients.md has the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

ROUTE_PREFIX: Final = "/api/v2/aibridge"
"""The documented path before the provider's name. The short form without it serves as well."""


@dataclass(frozen=True, slots=True)
class Export:
    """What to paste for one kind of client: environment variables, or lines of its own file.

    `{base}` stands for the gateway's address with the route prefix.
    """

    title: str
    variables: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()


# Anthropic's clients add `/v1/messages` to the address themselves, OpenAI's do not add `/v1`.
# Codex tries WebSockets, five times, unless it is told that the provider has none.
EXPORTS: Final[tuple[Export, ...]] = (
    Export("Claude Code, Anthropic SDKs", (("ANTHROPIC_BASE_URL", "{base}/anthropic"),)),
    Export("OpenAI SDKs", (("OPENAI_BASE_URL", "{base}/openai/v1"),)),
    Export(
        "Codex: ~/.codex/config.toml",
        lines=(
            'model_provider = "aigw"',
            "",
            "[model_providers.aigw]",
            'name = "aigw"',
            'base_url = "{base}/openai/v1"',
            'wire_api = "responses"',
            'env_key = "OPENAI_API_KEY"',
            "supports_websockets = false",
        ),
    ),
)
"""The clients named in the banner of `aigw serve`."""

PLACEHOLDERS: Final[dict[str, str]] = {
    "anthropic": "ANTHROPIC_AUTH_TOKEN",
    "openai": "OPENAI_API_KEY",
}
"""Provider -> the variable that its clients want set even when the gateway has the key.

Not ANTHROPIC_API_KEY: Claude Code asks its user to approve a key it finds there.
"""

GATEWAY_KEY: Final = "aigw_..."
"""Stands for the user's own gateway key, which nobody but the user has."""


def export_lines(
    address: str,
    central_keys: frozenset[str] = frozenset(),
    *,
    gateway_keys: bool = False,
    powershell: bool = os.name == "nt",
) -> list[str]:
    """The lines to paste, each group under a `#` comment: shell lines first, then Codex's TOML.

    Args:
        address: where the gateway listens, as `http://127.0.0.1:4001`.
        central_keys: names of the providers whose key the gateway holds. Their clients get a
            placeholder, since they refuse to start without some key.
        gateway_keys: whether the gateway asks for keys of its own. Clients then get theirs set.
        powershell: write variables in PowerShell's form instead of the POSIX shell's.
    """
    base = address.rstrip("/") + ROUTE_PREFIX
    setting = '$env:{} = "{}"' if powershell else "export {}={}"
    lines: list[str] = []
    for export in EXPORTS:
        lines.append(f"# {export.title}")
        lines += [setting.format(name, value.format(base=base)) for name, value in export.variables]
        lines += [line.format(base=base) for line in export.lines]
    if gateway_keys:
        own = [setting.format(name, GATEWAY_KEY) for name in PLACEHOLDERS.values()]
        return ["# Your gateway key, as `aigw keys create NAME` showed it", *own, *lines]
    names = [name for provider, name in PLACEHOLDERS.items() if provider in central_keys]
    if names:
        placeholders = [setting.format(name, "aigw") for name in names]
        lines = ["# The gateway has the key: any value will do here", *placeholders, *lines]
    return lines
