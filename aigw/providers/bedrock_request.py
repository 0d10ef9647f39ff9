"""From a request of Anthropic's Messages API to one of Bedrock's, by splicing: no clock, no network.

What Bedrock accepts is in `bedrock_table`; this is the order in which it is applied.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from multidict import CIMultiDict

from aigw.providers.bedrock_table import (
    ANTHROPIC_VERSION,
    EFFORT_FLAG,
    EFFORT_RATIOS,
    FAMILIES,
    FLAGGED_FIELDS,
    LEAST_BUDGET,
    LOCAL_BETAS,
    PASSED_PREFIX,
    REFUSED_FIELDS,
    RENAMED_BETAS,
    SIGNED_ELSEWHERE,
    SYSTEM_TURNS_FLAG,
    USUAL_RATIO,
    Family,
)
from aigw.wire.lenient import Shape, count_of, dict_of
from aigw.wire.object_edit import edit_object

EVENT_STREAM = "application/vnd.amazon.eventstream"

_KNOWN_BETAS = frozenset().union(*(family.betas for family in FAMILIES))
_DISABLED = b'{"type":"disabled"}'
_ADAPTIVE = b'{"type":"adaptive"}'


class _Body(msgspec.Struct, gc=False):
    max_tokens: Any = msgspec.UNSET
    thinking: Any = None
    output_config: Any = None
    anthropic_beta: Any = msgspec.UNSET
    anthropic_version: Any = msgspec.UNSET
    messages: list[msgspec.Raw] | None = None


class _Message(msgspec.Struct, gc=False):
    role: Any = None


_BODY = Shape(_Body)
_MESSAGE = Shape(_Message)


def invoke_body(
    body: bytes, headers: Mapping[str, str], family: Family, *, pass_unknown: bool
) -> bytes:
    """The body of InvokeModel. `headers` are the client's: its beta flags belong into the body.

    Raises:
        ValueError: the body is not a JSON object.
    """
    fields = _BODY.read(body)
    if fields is None:
        raise ValueError("the request's body is not a JSON object")
    changes: dict[str, bytes] = {}
    if fields.anthropic_version is msgspec.UNSET:
        changes["anthropic_version"] = _json(ANTHROPIC_VERSION)
    thinking = _thinking(fields, family)
    if thinking is not None:
        changes["thinking"] = thinking
    given = [] if fields.anthropic_beta is msgspec.UNSET else fields.anthropic_beta
    dropped = {"model", "stream"} | REFUSED_FIELDS
    flags: list[Any] = []
    if isinstance(given, list):
        # Anything else is left where it is, for Bedrock to judge.
        flags = beta_flags([*given, *_header_flags(headers)], family, pass_unknown=pass_unknown)
        if not flags:
            dropped |= {"anthropic_beta"}
        elif flags != given:
            changes["anthropic_beta"] = _json(flags)
    if SYSTEM_TURNS_FLAG not in flags and (turns := _without_system_turns(fields.messages)):
        changes["messages"] = turns
    dropped |= {name for name, needed in FLAGGED_FIELDS.items() if needed.isdisjoint(flags)}
    if not family.effort and EFFORT_FLAG not in flags:
        dropped |= {"output_config"}
    return _edited(body, changes, frozenset(dropped))


def _without_system_turns(messages: list[msgspec.Raw] | None) -> bytes | None:
    """The messages with what the client says as `system` between turns said as `user`.

    Without its beta flag that role is refused, and the request with it. None when there is none.
    """
    if not messages or not any(b'"system"' in bytes(message) for message in messages):
        return None
    parts: list[bytes] = []
    changed = False
    for raw in messages:
        message = bytes(raw)
        found = _MESSAGE.read(raw)
        if found is not None and found.role == "system":
            message = edit_object(message, set={"role": b'"user"'}) or message
            changed = True
        parts.append(message)
    return b"[" + b",".join(parts) + b"]" if changed else None


def count_body(body: bytes) -> bytes:
    """The body of CountTokens, around one of InvokeModel.

    That one has to be whole, though a question for a count needs no `max_tokens`: the least that
    its thinking allows is put in.

    Raises:
        ValueError: the body is not a JSON object.
    """
    fields = _BODY.read(body)
    if fields is not None and fields.max_tokens is msgspec.UNSET:
        budget = count_of(dict_of(fields.thinking).get("budget_tokens")) or 0
        body = _edited(body, {"max_tokens": _json(budget + 1)}, frozenset())
    encoded = base64.b64encode(body).decode()
    return _json({"input": {"invokeModel": {"body": encoded}}})


def beta_flags(flags: list[Any], family: Family, *, pass_unknown: bool) -> list[Any]:
    """Those of the flags that go to Bedrock, under its names, each once, in their order.

    A flag that is known and not accepted by the models is dropped even where unknown ones pass.
    """
    kept: dict[str, None] = {}
    for flag in flags:
        if not isinstance(flag, str) or flag in LOCAL_BETAS:
            continue
        name = RENAMED_BETAS.get(flag, flag)
        if name in family.betas or (pass_unknown and name not in _KNOWN_BETAS):
            kept[name] = None
    return list(kept)


def passed_headers(
    headers: CIMultiDict[str], names: frozenset[str], **made: str
) -> CIMultiDict[str]:
    """The client's headers that AWS may see, and those that are made: `content_type="..."`."""
    kept = CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() in names or name.lower().startswith(PASSED_PREFIX)
    )
    for name, value in made.items():
        kept[name.replace("_", "-").title()] = value
    return kept


def unsigned_headers(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """The headers of a client of Bedrock's own API, but for what it was authorised with."""
    return CIMultiDict(pair for pair in headers.items() if pair[0].lower() not in SIGNED_ELSEWHERE)


def _header_flags(headers: Mapping[str, str]) -> list[str]:
    values = CIMultiDict(headers.items()).getall("Anthropic-Beta", [])
    flags = (flag.strip() for value in values for flag in value.split(","))
    return [flag for flag in flags if flag]


def _thinking(fields: _Body, family: Family) -> bytes | None:
    """What `thinking` becomes for these models; None when it stays."""
    kind = dict_of(fields.thinking).get("type")
    if kind == "enabled" and not family.budget:
        return _ADAPTIVE
    if kind != "adaptive" or family.adaptive:
        return None
    effort = dict_of(fields.output_config).get("effort")
    ratio = EFFORT_RATIOS.get(effort, USUAL_RATIO) if isinstance(effort, str) else USUAL_RATIO
    budget = int((count_of(fields.max_tokens) or 0) * ratio)
    if budget < LEAST_BUDGET:
        return _DISABLED
    return _json({"type": "enabled", "budget_tokens": budget})


def _edited(body: bytes, changes: dict[str, bytes], dropped: frozenset[str]) -> bytes:
    edited = edit_object(body, set=changes, delete=dropped)
    if edited is None:
        raise ValueError("the request's body is not a JSON object")
    return edited


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
