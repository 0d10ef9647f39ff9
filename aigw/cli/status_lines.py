"""What `aigw status` shows a person: its JSON object as lines.

The daemon that answered may be of another version: nothing is taken for granted.
"""

from __future__ import annotations

from typing import Any

from aigw.cli.text import size_text, visible


def status_lines(facts: dict[str, Any]) -> list[str]:
    """The lines for the object that `aigw status --json` prints."""
    shown: list[tuple[str, Any]] = [
        ("process", facts.get("pid")),
        ("version", facts.get("version")),
        ("since", facts.get("started_at")),
        ("listening", _listening(facts)),
        ("access", _access(facts)),
        ("metrics", facts.get("metrics_address")),
        ("problem", facts.get("problem")),
        ("in flight", facts.get("in_flight")),
        ("limits", _limits(facts.get("limits"))),
        ("budgets", _budgets(facts.get("budgets"))),
        *(("provider", _provider(each)) for each in _tables(facts.get("providers"))),
        *(("breaker", _breaker(each)) for each in _tables(facts.get("breakers"))),
        ("database", f"{facts['database']} ({size_text(facts['database_bytes'])})"),
        ("store", facts.get("database_problem")),
        ("interceptions", f"{facts['interceptions']:,}" if "interceptions" in facts else None),
        ("oldest", facts.get("oldest")),
        ("retention", facts.get("retention")),
        *_reload(facts.get("reload")),
        ("last error", _last_error(facts)),
    ]
    lines = [f"{name:<14} {visible(str(value))}" for name, value in shown if value is not None]
    return [_first(facts), *lines]


def _first(facts: dict[str, Any]) -> str:
    if not facts["running"]:
        return "not running: start it with `aigw serve --aibridge-enabled`"
    return (
        f"running at {facts['address']}" if "address" in facts else "running, starting or stopping"
    )


def _listening(facts: dict[str, Any]) -> str | None:
    listening, tls = facts.get("listening"), facts.get("tls")
    if isinstance(tls, dict):
        return f"{listening} (certificate expires {tls.get('expires')})"
    return listening if listening != facts.get("address") else None


def _access(facts: dict[str, Any]) -> str | None:
    if "open_mode" not in facts:
        return None
    if facts["open_mode"]:
        return "open mode: whoever uses this machine"
    return (
        f"gateway keys: {facts.get('gateway_keys_working')} working of {facts.get('gateway_keys')}"
    )


def _limits(limits: Any) -> str | None:
    if not isinstance(limits, dict):
        return None
    texts = (
        ("max_concurrency", "at most {} requests at a time"),
        ("rate_limit", "at most {} requests a second for each key or address"),
    )
    return ", ".join(text.format(limits[name]) for name, text in texts if limits.get(name)) or None


def _budgets(budgets: Any) -> str | None:
    if not isinstance(budgets, dict) or not budgets.get("count"):
        return None
    waiting = budgets.get("waiting")
    return f"{budgets['count']}" + (f", {waiting} requests wait for room" if waiting else "")


def _provider(provider: dict[str, Any]) -> str:
    keys = _tables(provider.get("keys"))
    said = f"keys: {', '.join(map(_key, keys))}" if keys else f"key: {provider.get('key')}"
    state = str(provider.get("status", "enabled")).replace("_", " ")
    parts = [
        provider.get("name"),
        provider.get("type"),
        provider.get("base_url"),
        provider.get("region"),
    ]
    text = " ".join(str(part) for part in parts if part)
    return f"{text} ({said if state == 'enabled' else f'{state}; {said}'})"


def _key(key: dict[str, Any]) -> str:
    seconds = key.get("seconds")
    state = key.get("state")
    if state == "available":
        return str(key.get("hint"))
    for_how_long = f" for {seconds:.0f}s" if isinstance(seconds, (int, float)) and seconds else ""
    return f"{key.get('hint')} {str(state).replace('_', ' ')}{for_how_long}"


def _breaker(breaker: dict[str, Any]) -> str:
    """The names of its fields are those of the circuit breakers themselves."""
    return ", ".join(f"{name} {value}" for name, value in breaker.items())


def _reload(reload: Any) -> list[tuple[str, Any]]:
    """Quiet when all is well: a daemon's start is a reload that went well, too."""
    if not isinstance(reload, dict):
        return []
    state = "ok" if reload.get("ok") else "refused, the configuration before it stays"
    lines = [("reload", f"{reload.get('at')} {state}")]
    problems, options = reload.get("problems"), reload.get("needs_restart")
    if isinstance(problems, list):
        lines += [("", problem) for problem in problems]
    if isinstance(options, list) and options:
        lines.append(("needs restart", ", ".join(map(str, options))))
    return lines


def _tables(values: Any) -> list[dict[str, Any]]:
    if not isinstance(values, list):
        return []
    return [value for value in values if isinstance(value, dict)]


def _last_error(facts: dict[str, Any]) -> str | None:
    if "last_error" not in facts:
        return None
    error = facts["last_error"]
    return f"{error.get('time')} {error.get('message')}" if isinstance(error, dict) else "none"
