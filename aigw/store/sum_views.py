"""The views of what interceptions add up to: by session, by thread, by day."""

from __future__ import annotations

from aigw.store.rollup import FIGURES, KINDS, QUARTER, ROLLED_SEQ, SUMS
from aigw.store.sessions import BY_A_PERSON
from aigw.store.view import EXCERPT, HELP, TOKENS, Column, Kind, View, columns, cost, moment_columns

_QUARTERS_A_DAY = 96


def _sums(where: str) -> list[Column]:
    """What the interceptions of a session or thread add up to."""

    def over(what: str, about: str, name: str, kind: Kind = Kind.INTEGER) -> Column:
        sql = f"(SELECT {what} FROM main.interceptions AS i WHERE {where})"  # noqa: S608
        return Column(name, kind, sql, about)

    micros = f"(SELECT ifnull(sum(i.cost_micros), 0) FROM main.interceptions AS i WHERE {where})"  # noqa: S608
    return [
        over("count(*)", "interceptions", "requests"),
        *(over(f"ifnull(sum(i.{n}), 0)", HELP[n], n) for n in TOKENS.split()),
        *cost(micros),
        over("ifnull(sum(i.unpriced), 0)", HELP["unpriced"], "unpriced"),
        over("ifnull(sum(i.estimated), 0)", HELP["estimated"], "estimated"),
        over("count(*) FILTER (WHERE i.status = 'failed')", HELP["errors"], "errors"),
        over("count(*) FILTER (WHERE i.status = 'aborted')", HELP["aborted"], "aborted"),
        Column(
            "tool_calls",
            Kind.INTEGER,
            "(SELECT count(*) FROM main.interceptions AS i JOIN main.tool_usages AS t"  # noqa: S608
            f" ON t.interception_seq = i.seq WHERE {where})",
            "tool calls that models made",
        ),
        over("group_concat(DISTINCT i.model)", "with commas between", "models", Kind.TEXT),
    ]


def _first_prompt(where: str, order: str) -> str:
    return (
        f"(SELECT substr(p.prompt, 1, {EXCERPT}) FROM main.interceptions AS i"  # noqa: S608
        f" JOIN main.user_prompts AS p ON p.interception_seq = i.seq WHERE {where}"
        f" ORDER BY i.seq {order}, p.seq {order} LIMIT 1)"
    )


def _prompt_of_session(order: str) -> str:
    """A person's where there is one, else whatever was asked."""
    main = _first_prompt(f"{_IN_SESSION} AND {BY_A_PERSON}", order)
    return f"ifnull({main}, {_first_prompt(_IN_SESSION, order)})"


_IN_SESSION = "i.session_seq = s.seq"
_IN_THREAD = "i.session_seq = root.session_seq AND i.thread_seq = root.seq"
_SESSION_START, _SESSION_START_US = moment_columns(
    "started_at", "s.started_at", "its first request"
)
_SESSION_LAST, _SESSION_LAST_US = moment_columns(
    "last_active_at", "s.last_active_at", "its last request or answer"
)
_LAST_END = f"(SELECT max(ifnull(i.ended_at, i.started_at)) FROM main.interceptions AS i WHERE {_IN_THREAD})"  # noqa: S608

SESSIONS = View(
    "v_sessions",
    "What a client names a session, else a thread.",
    (
        Column("id", Kind.TEXT, "s.id", "the session"),
        Column("parent_id", Kind.TEXT, "s.parent_id", "the session that started it"),
        *columns(Kind.TEXT, "s", "initiator_id"),
        Column(
            "client",
            Kind.TEXT,
            f"(SELECT i.client FROM main.interceptions AS i WHERE {_IN_SESSION} ORDER BY i.seq LIMIT 1)",  # noqa: S608
            "the program that asked first",
        ),
        _SESSION_START,
        _SESSION_LAST,
        Column(
            "threads",
            Kind.INTEGER,
            f"(SELECT count(DISTINCT i.thread_seq) FROM main.interceptions AS i WHERE {_IN_SESSION})",  # noqa: S608
            "prompts with what followed",
        ),
        *_sums(_IN_SESSION),
        Column("first_prompt", Kind.TEXT, _prompt_of_session("ASC"), "excerpt"),
        Column("last_prompt", Kind.TEXT, _prompt_of_session("DESC"), "excerpt"),
        _SESSION_START_US,
        _SESSION_LAST_US,
    ),
    "main.sessions AS s",
)

THREADS = View(
    "v_threads",
    "A prompt and the loop that followed it.",
    (
        Column("id", Kind.TEXT, "root.id", "the thread's first interception"),
        Column("session_id", Kind.TEXT, "s.id", "its session"),
        *columns(Kind.TEXT, "root", "initiator_id client agent_id"),
        Column("started_at", Kind.TIME, "root.started_at", "its first request"),
        Column("ended_at", Kind.TIME, _LAST_END, "its last answer"),
        *_sums(_IN_THREAD),
        Column("prompt", Kind.TEXT, _first_prompt(_IN_THREAD, "ASC"), "excerpt"),
        Column("started_us", Kind.INTEGER, "root.started_at", _SESSION_START_US.help),
    ),
    "main.interceptions AS root LEFT JOIN main.sessions AS s ON s.seq = root.session_seq"
    " WHERE root.thread_seq = root.seq",
)

_DAY_KINDS = ("provider_name", "model", "client", "initiator_id", "plan")
_ROLLED = f"ifnull((SELECT value FROM main.meta WHERE key = '{ROLLED_SEQ}'), 0)"  # noqa: S608
_I_KINDS = "i.provider_name, i.model, i.client, i.initiator_id, ifnull(i.plan, '')"
_I_DAY = f"i.started_at / {QUARTER} / {_QUARTERS_A_DAY}"


def _grouped(selected: str, origin: str) -> str:
    return f"SELECT {selected} FROM {origin} GROUP BY 1, 2, 3, 4, 5, 6"  # noqa: S608 (our own names)


# The sums that the upkeep has worked out, then what came after them: ended, and still running.
_ALL_USAGE = " UNION ALL ".join(
    [
        _grouped(
            f"q.quarter / {_QUARTERS_A_DAY} AS day_number, {', '.join(_DAY_KINDS)}, "
            + ", ".join(f"sum(q.{name}) AS {name}" for name in FIGURES),
            "main.usage_quarters AS q",
        ),
        _grouped(
            f"{_I_DAY}, {_I_KINDS}, {SUMS}", f"main.interceptions AS i WHERE i.end_seq > {_ROLLED}"
        ),
        _grouped(
            f"{_I_DAY}, {_I_KINDS}, {SUMS}", "main.interceptions AS i WHERE i.end_seq IS NULL"
        ),
    ]
)
assert set(_DAY_KINDS) < set(KINDS)


def _total(name: str) -> str:
    return f"ifnull(sum(u.{name}), 0)"


DAILY_USAGE = View(
    "v_daily_usage",
    "Requests, tokens and cost by UTC day and kind of request.",
    (
        Column(
            "day", Kind.TEXT, "date(u.day_number * 86400, 'unixepoch')", "of UTC, as 2026-11-01"
        ),
        *columns(Kind.TEXT, "u", " ".join(_DAY_KINDS[:-1])),
        Column("plan", Kind.TEXT, "nullif(u.plan, '')", HELP["plan"]),
        *(
            Column(name, Kind.INTEGER, _total(name), HELP[name])
            for name in FIGURES
            if name != "cost_micros"
        ),
        *cost(_total("cost_micros")),
    ),
    f"({_ALL_USAGE}) AS u",
    f"GROUP BY u.day_number, {', '.join(f'u.{name}' for name in _DAY_KINDS)}",
)
