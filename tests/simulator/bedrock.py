"""Amazon Bedrock: signed requests, InvokeModel and Converse, event streams, token counts, Mantle.

The model in the path steers the answer, as `sim-...` or `<vendor>.sim-...` (with any prefix of an
inference profile or ARN before it). `sim-break` ends a stream with an exception frame.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.simulator import converse, messages
from tests.simulator.eventstream import CONTENT_TYPE, chunk, frame
from tests.simulator.plan import Plan, make_plan
from tests.simulator.script import Script, resplit
from tests.simulator.sigv4 import RefusedError, check
from tests.simulator.sse import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.wire import Received

OPERATION = re.compile(
    r"/model/([^/]+)/(invoke|invoke-with-response-stream|converse|converse-stream|count-tokens)$"
)
MANTLE = "/mantle/anthropic"
"""Where the simulator's Mantle is."""

_STEERING = re.compile(r"(?:^|[./])(sim-.*?)(?::\d+)?$", re.DOTALL)
_PROFILE = re.compile(r"[a-z]{2,6}(?:-gov)?\.anthropic\.")
_KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
# Of those that Claude Code and the SDKs send, what Bedrock does not take.
_REFUSED_FIELDS = ("model", "stream", "service_tier", "container", "inference_geo")
_REFUSED_FLAGS = frozenset({"claude-code-20250219", "prompt-caching-scope-2026-01-05"})


def answer(request: Received) -> Script | None:
    """Bedrock's answer; None where the path is not one of Bedrock's."""
    if request.path.startswith(MANTLE):
        return _refusal(request, "bedrock-mantle")
    found = OPERATION.search(request.path)
    if found is None or request.method != "POST":
        return None
    body = request.json()
    refusal = _refusal(request, "bedrock")
    if refusal is None and not isinstance(body, dict):
        refusal = error(400, "Malformed input request, please reformat your input and try again.")
    if refusal is not None:
        return refusal
    model, operation = unquote(found[1]), found[2]
    if operation == "count-tokens":
        return _count(model, body)
    return (
        _converse(model, operation, body)
        if "converse" in operation
        else _invoke(model, operation, body)
    )


def _invoke(model: str, operation: str, body: dict[str, Any]) -> Script:
    plan = make_plan(body | {"model": _name(model)})
    problem = problem_of(body)
    if problem is not None:
        return error(400, problem)
    if plan.has("error"):
        return _failure(plan)
    if operation == "invoke":
        return _whole(plan, to_json(messages.message(plan)))
    return _stream(plan, list(_frames(plan)))


def _converse(model: str, operation: str, body: dict[str, Any]) -> Script:
    plan = make_plan(converse.as_messages(body) | {"model": _name(model)})
    if plan.has("error"):
        return _failure(plan)
    if operation == "converse":
        return _whole(plan, to_json(converse.answer(plan)))
    return _stream(plan, list(converse.frames(plan)))


def _name(model: str) -> str:
    steering = _STEERING.search(model)
    return steering[1] if steering else model


def _failure(plan: Plan) -> Script:
    return error(plan.number("error", 500), "The simulator was asked to fail.")


def error(status: int, message: str, kind: str = "") -> Script:
    """An error in AWS's form."""
    kind = kind or _KINDS.get(status, "InternalServerException")
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-RequestId", "00000000-0000-4000-8000-000000000000"),
        ("x-amzn-ErrorType", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"),
    ]
    return Script(
        status=status, reason="Error", headers=headers, body=to_json({"message": message})
    )


def problem_of(body: dict[str, Any]) -> str | None:
    """What InvokeModel would not take of a Messages body."""
    if "anthropic_version" not in body:
        return "anthropic_version: Field required"
    if "max_tokens" not in body:
        return "max_tokens: Field required"
    for name in _REFUSED_FIELDS:
        if name in body:
            return f"{name}: Extra inputs are not permitted"
    if _REFUSED_FLAGS.intersection(body.get("anthropic_beta", [])):
        return "invalid beta flag"
    return None


def _refusal(request: Received, service: str) -> Script | None:
    try:
        request.signed = check(request, service)
    except RefusedError as refused:
        return error(403, str(refused), refused.kind)
    return None


def _count(model: str, body: dict[str, Any]) -> Script:
    if _PROFILE.match(model) or ":application-inference-profile/" in model:
        return error(400, "The provided model doesn't support counting tokens.")
    try:
        if "converse" in body["input"]:
            inner = to_json(body["input"]["converse"])
        else:
            inner = base64.b64decode(body["input"]["invokeModel"]["body"], validate=True)
            problem = problem_of(json.loads(inner))
            if problem is not None:
                return error(400, problem)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return error(400, "Malformed input request")
    count = {"inputTokens": 10 + len(inner) // 4}
    return Script(headers=[("Content-Type", "application/json")], body=to_json(count))


def _frames(plan: Plan) -> Iterator[bytes]:
    """The Messages stream as chunks: no pings, measures in the last event, faults as exceptions."""
    for event in messages.events(plan):
        value = json.loads(event.partition(b"\ndata: ")[2])
        if value["type"] == "ping":
            continue
        if value["type"] == "error":
            failure = to_json({"message": value["error"]["message"]})
            yield frame("throttlingException", failure, message_type="exception")
            return
        if value["type"] == "message_stop":
            value["amazon-bedrock-invocationMetrics"] = {
                "inputTokenCount": plan.input_tokens,
                "outputTokenCount": plan.output_tokens,
                "invocationLatency": 120,
                "firstByteLatency": 40,
            }
        yield chunk(to_json(value))


def _stream(plan: Plan, frames: list[bytes]) -> Script:
    size = plan.number("split")
    pieces = resplit(b"".join(frames), [size]) if size else frames
    return Script(
        headers=[
            ("Content-Type", CONTENT_TYPE),
            ("x-amzn-RequestId", f"req-{plan.token}"),
            ("X-Amzn-Bedrock-Content-Type", "application/json"),
        ],
        body=pieces,
        framing="chunked",
        interval=plan.number("slow") / 1000,
        delay=plan.number("late") / 1000,
        **_breaking(plan, sum(map(len, pieces))),
    )


def _whole(plan: Plan, body: bytes) -> Script:
    return Script(
        headers=[
            ("Content-Type", "application/json"),
            ("x-amzn-RequestId", f"req-{plan.token}"),
            ("X-Amzn-Bedrock-Input-Token-Count", str(plan.input_tokens)),
            ("X-Amzn-Bedrock-Output-Token-Count", str(plan.output_tokens)),
            ("X-Amzn-Bedrock-Invocation-Latency", "120"),
        ],
        body=body,
        delay=plan.number("late") / 1000,
        **_breaking(plan, len(body)),
    )


def _breaking(plan: Plan, size: int) -> dict[str, Any]:
    for feature, ending in (("cut", "close"), ("reset", "reset")):
        if plan.has(feature):
            return {"ending": ending, "cut": size // 2}
    return {}
