"""The figures of a status line, and their forms: a line, placeholders' texts, JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aigw import clock
from aigw.cli.money import dollars, exact_dollars
from aigw.store.session_sums import SessionSums, latest_session, session_sums
from aigw.store.usage import Sums, usage

if TYPE_CHECKING:
    import sqlite3

    from aigw.cli.client_status import ClientStatus

BURN = 3_600_000_000
"""Microseconds. What was spent in the last hour is what is spent an hour: long enough that a pause
for thought is no end of spending, short enough to show a loop that runs wild."""

RECENT = 600_000_000
"""Microseconds. A session that was active since then is the one that a shell's prompt is about."""

_LONGEST_NAME = 40
_UNKNOWN = "-"
# Of punctuation, what names of models have. A shell's prompt, tmux and zsh take others as orders
# (`#[`, `#(`, `%`, `$(`, a backquote), and so does a terminal an escape.
_PLAIN = frozenset(" ._:/@()[]+-,")


@dataclass(frozen=True, slots=True)
class Figures:
    """`context_percent` is None when nobody knows it, `session` when there is none in the store.

    `client_cost_micros` is the client's own figure of its session, given while the store has none.
    """

    model: str
    context_percent: float | None
    session: SessionSums | None
    client_cost_micros: int | None
    today: Sums
    burn: Sums


def read(connection: sqlite3.Connection, session_id: str | None, client: ClientStatus) -> Figures:
    """The figures at this moment: of that session, or the client's, or the latest one."""
    now = clock.now()
    today = _all(connection, midnight(now))
    burn = _all(connection, now - BURN)
    is_clients = session_id is None or session_id == client.session_id
    wanted = session_id or client.session_id or latest_session(connection, now - RECENT)
    session = None if wanted is None else session_sums(connection, wanted)
    model = client.model if is_clients else ""
    percent = client.context_percent if is_clients else None
    if session is not None:
        model = model or session.model
        if percent is None and session.context_tokens is not None and session.context_window:
            percent = 100 * session.context_tokens / session.context_window
    own = client.cost_micros if is_clients and session is None else None
    return Figures(model, percent, session, own, today, burn)


def midnight(now: int) -> int:
    """When the day of a moment began on this machine's clock, both in microseconds.

    By a local time without an offset: that of the moment is not that of its midnight on days on which
    clocks change.
    """
    local = datetime.fromtimestamp(now // 1_000_000)  # noqa: DTZ006 (local on purpose)
    begin = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return int(begin.timestamp()) * 1_000_000


def _all(connection: sqlite3.Connection, since: int) -> Sums:
    return usage(connection, [], since, None, None).get((), Sums())


def line(figures: Figures) -> str:
    """What is known, on one line."""
    found = texts(figures)
    parts = [found["model"] if figures.model else ""]
    if figures.context_percent is not None:
        parts.append(f"context {found['context']}")
    if figures.session is not None:
        parts.append(f"session {found['session_cost']}, {found['session_tokens']} tokens")
    elif figures.client_cost_micros is not None:
        parts.append(f"session {found['session_cost']}")
    parts += [f"today {found['today_cost']}", found["burn"]]
    return " | ".join(part for part in parts if part)


def texts(figures: Figures) -> dict[str, str]:
    """Each placeholder's text; a dash where nothing is known."""
    from aigw.cli.text import short_number

    session, percent = figures.session, figures.context_percent
    cost = _UNKNOWN
    if session is not None:
        cost = amount(session.sums)
    elif figures.client_cost_micros is not None:
        cost = f"~{dollars(figures.client_cost_micros)}"
    return {
        "model": plain(figures.model) or _UNKNOWN,
        "context": _UNKNOWN if percent is None else f"{percent:.0f}%",
        "session": plain(session.id) if session else _UNKNOWN,
        "session_cost": cost,
        "session_tokens": short_number(tokens(session.sums)) if session else _UNKNOWN,
        "session_requests": f"{session.sums.requests:,}" if session else _UNKNOWN,
        "today_cost": amount(figures.today),
        "burn": f"{amount(figures.burn)}/h",
    }


def amount(sums: Sums) -> str:
    """What is paid; a plan's list price beside it; `~` where estimated, `+?` where unpriced."""
    covered = "~" if sums.plan_estimated else ""
    plan = f"plan {covered}{dollars(sums.plan_micros)}" if sums.plan_micros else ""
    mark = "~" if sums.estimated > sums.plan_estimated else ""
    paid = f"{mark}{dollars(sums.cost_micros)}" if sums.cost_micros or not plan else ""
    return " + ".join(part for part in (paid, plan) if part) + (" +?" if sums.unpriced else "")


def tokens(sums: Sums) -> int:
    """All tokens in and out, cached ones too."""
    return (
        sums.input_tokens
        + sums.cache_read_input_tokens
        + sums.cache_write_input_tokens
        + sums.output_tokens
    )


def plain(name: str) -> str:
    """A name with nothing in it that a terminal, a shell or a status bar would act on."""
    kept = "".join(c if c.isalnum() or c in _PLAIN else "?" for c in name[: _LONGEST_NAME + 1])
    return kept if len(kept) <= _LONGEST_NAME else kept[: _LONGEST_NAME - 1] + "\u2026"


def json_form(figures: Figures) -> dict[str, Any]:
    """The object of `--json`."""
    session = figures.session
    return {
        "model": figures.model or None,
        "context": {
            "percent": None
            if figures.context_percent is None
            else round(figures.context_percent, 1),
            "tokens": session.context_tokens if session else None,
            "window": session.context_window if session else None,
        },
        "session": None if session is None else {"id": session.id, **_sums(session.sums)},
        "client_cost_micros": figures.client_cost_micros,
        "today": _sums(figures.today),
        "last_hour": _sums(figures.burn),
    }


def _sums(sums: Sums) -> dict[str, Any]:
    return {
        "requests": sums.requests,
        "tokens": tokens(sums),
        "cost_micros": sums.cost_micros,
        "cost_usd": exact_dollars(sums.cost_micros),
        "plan_micros": sums.plan_micros,
        "plan_usd": exact_dollars(sums.plan_micros),
        "unpriced": sums.unpriced,
        "estimated": sums.estimated,
    }
