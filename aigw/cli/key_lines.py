"""Gateway keys as text: the answer to a new one, a table of all, and their JSON form."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aigw.store.key_changes import Issued
    from aigw.store.keys import GatewayKey

_BOLD = "1"
_BYOK_HEADER = "X-Coder-AI-Governance-Token"


def print_issued(issued: Issued, path: Path, *, json: bool) -> None:
    """The token alone on stdout, or a JSON object with it; how to use it on stderr."""
    from aigw import clock
    from aigw.cli.text import prepare_stdout, print_json

    prepare_stdout()
    if json:
        print_json({"token": issued.token.reveal(), **key_object(issued.key, clock.now())})
    else:
        sys.stdout.write(f"{issued.token.reveal()}\n")
    sys.stdout.flush()
    for line in _explanation(issued, path, json=json):
        sys.stderr.write(f"{line}\n")


def _explanation(issued: Issued, path: Path, *, json: bool) -> list[str]:
    from aigw.clients.wiring import ROUTE_PREFIX

    lines = []
    if not json:
        base = _address(path) + ROUTE_PREFIX
        expires = issued.key.expires_at
        lasting = "" if expires is None else f", until {day(expires)}"
        lines = [
            f"{described(issued.key)}{lasting}. It is not shown again: keep it now.",
            f"Claude Code: ANTHROPIC_BASE_URL={base}/anthropic and the key as ANTHROPIC_AUTH_TOKEN",
            f"OpenAI SDKs: OPENAI_BASE_URL={base}/openai/v1 and the key as OPENAI_API_KEY",
            f"With a provider credential of your own: the key in the header {_BYOK_HEADER}",
        ]
    if issued.is_first:
        lines.append(
            "This is the first key: from now on the gateway answers 401 to clients without one."
        )
    return lines


def _address(path: Path) -> str:
    """Where the daemon listens, or would."""
    from aigw.errors import AigwError
    from aigw.gateway.listener import local_url
    from aigw.settings import resolve_one
    from aigw.store.lock import read_runtime

    runtime = read_runtime(path)
    if runtime is not None:
        return runtime.address
    try:
        scheme = "https" if resolve_one("tls_cert_file", None, os.environ) else "http"
        return local_url(f"{scheme}://{resolve_one('http_address', None, os.environ)}")
    except AigwError:
        # The key is made and shown: a wrong setting is the next start's matter.
        return "http://127.0.0.1:4001"


def described(key: GatewayKey) -> str:
    """A key in a sentence."""
    from aigw.cli.text import visible

    whose = "" if key.user == key.name else f" of {visible(key.user)}"
    return f"key {visible(key.name)!r} ({key.id}){whose}"


def key_object(key: GatewayKey, now: int) -> dict[str, Any]:
    """The JSON form of a key; its secret and that one's hash are not in it."""
    from aigw.records import rfc3339

    def moment(microseconds: int | None) -> str | None:
        return None if microseconds is None else rfc3339(microseconds)

    return {
        "id": key.id,
        "name": key.name,
        "user": key.user,
        "state": key.state(now).value,
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "last_used_at": moment(key.last_used_at),
        "revoked_at": moment(key.revoked_at),
        "providers": list(key.providers),
        "models": list(key.models),
        "rate_limit": key.rate_limit,
        "max_concurrency": key.max_concurrency,
        "admin": key.is_admin,
    }


_HEADINGS = ("name", "user", "id", "created", "expires", "last used", "may", "state")


def print_table(keys: Sequence[GatewayKey], now: int) -> None:
    """A line for each key under a head line, on stdout."""
    from rich.cells import cell_len

    from aigw.cli.messages import paint

    rows = [_HEADINGS, *(_row(key, now) for key in keys)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        line = "  ".join(cells).rstrip()
        sys.stdout.write(f"{line if number else paint(line, _BOLD, sys.stdout)}\n")


def _row(key: GatewayKey, now: int) -> tuple[str, ...]:
    from aigw.cli.text import clock_time, visible

    used = "never" if key.last_used_at is None else clock_time(key.last_used_at, day=True)
    return (
        visible(key.name),
        visible(key.user),
        key.id,
        day(key.created_at),
        "never" if key.expires_at is None else day(key.expires_at),
        used,
        visible(_restrictions(key)),
        key.state(now).value,
    )


def _restrictions(key: GatewayKey) -> str:
    found = ["/".join(names) for names in (key.providers, key.models) if names]
    if key.rate_limit is not None:
        found.append(f"{key.rate_limit}/s")
    if key.max_concurrency is not None:
        found.append(f"{key.max_concurrency} at a time")
    if key.is_admin:
        found.append("admin")
    return ", ".join(found) or "everything"


def day(microseconds: int | None) -> str:
    """The local date of a moment."""
    from aigw.cli.text import clock_time

    return clock_time(microseconds or 0, day=True)[:10]
