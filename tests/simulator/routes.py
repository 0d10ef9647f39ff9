"""From a request to a `Script`: the routes of both providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulator import bedrock, chat, messages, responses
from tests.simulator.errors import api_error
from tests.simulator.plan import CREATED, Plan, make_plan
from tests.simulator.script import Script, resplit
from tests.simulator.sse import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.wire import Received

_ENCODINGS = ("gzip", "deflate", "br", "zstd")
_OPENAI_HEADERS = (
    ("x-ratelimit-limit-requests", "500"),
    ("x-ratelimit-remaining-requests", "499"),
    ("x-ratelimit-reset-requests", "120ms"),
    ("openai-organization", "org-simulator"),
    ("openai-version", "2020-10-01"),
)
_ANTHROPIC_HEADERS = (
    ("anthropic-ratelimit-requests-limit", "50"),
    ("anthropic-ratelimit-requests-remaining", "49"),
    ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z"),
    ("anthropic-organization-id", "3f2b0c58-0000-4000-8000-000000000000"),
)


def answer(request: Received) -> Script:
    """What a provider would answer."""
    signed = bedrock.answer(request)
    if signed is not None:
        return signed
    body = request.json()
    fields = body if isinstance(body, dict) else {}
    path = request.path.rstrip("/")
    if request.method == "POST" and path.endswith("/chat/completions"):
        return _model_answer("openai", "chat", fields)
    if request.method == "POST" and path.endswith("/responses"):
        return _model_answer("openai", "responses", fields)
    if request.method == "POST" and path.endswith("/v1/messages"):
        return _model_answer("anthropic", "messages", fields)
    found = _passed_through(request, path, fields)
    provider = provider_of(request)
    if found is None:
        return api_error(provider, 404, "not_found_error", "no such route", "")
    return Script(headers=_headers(provider, "0"), body=to_json(found))


def provider_of(request: Received) -> str:
    """Which provider is meant: both have `/v1/models`."""
    anthropic = request.value("anthropic-version") or "/messages" in request.path
    return "anthropic" if anthropic or "event_logging" in request.path else "openai"


def _passed_through(request: Received, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    if path.endswith("/messages/count_tokens"):
        return {"input_tokens": 10 + len(request.body) // 4}
    if "/event_logging/" in path:
        return {"accepted": len(body)}
    if "/models" in path:
        return _models(request, path)
    if "/conversations" in path:
        return _conversation(request, path, body)
    if "/responses/" in path:
        return _stored_response(request, path)
    return None


def _models(request: Received, path: str) -> dict[str, Any]:
    name = path.rpartition("/models")[2].strip("/")
    names = [name] if name else ["sim-text", "sim-tools", "sim-think"]
    if provider_of(request) == "anthropic":
        listed: list[dict[str, Any]] = [
            {
                "type": "model",
                "id": each,
                "display_name": each.title(),
                "created_at": "2026-01-01T00:00:00Z",
            }
            for each in names
        ]
        page = {"has_more": False, "first_id": names[0], "last_id": names[-1]}
        return listed[0] if name else {"data": listed} | page
    listed = [
        {"id": each, "object": "model", "created": CREATED, "owned_by": "simulator"}
        for each in names
    ]
    return listed[0] if name else {"object": "list", "data": listed}


def _conversation(request: Received, path: str, body: dict[str, Any]) -> dict[str, Any]:
    identity = path.rpartition("/conversations")[2].strip("/").split("/")[0] or "conv_sim"
    if request.method == "DELETE":
        return {"id": identity, "object": "conversation.deleted", "deleted": True}
    if path.endswith("/items"):
        page = {"first_id": "", "last_id": "", "has_more": False}
        return {"object": "list", "data": []} | page
    metadata = body.get("metadata") or {}
    return {
        "id": identity,
        "object": "conversation",
        "created_at": CREATED,
        "metadata": metadata,
    }


def _stored_response(request: Received, path: str) -> dict[str, Any]:
    identity = path.rpartition("/responses/")[2].split("/")[0]
    if request.method == "DELETE":
        return {"id": identity, "object": "response", "deleted": True}
    if path.endswith("/input_tokens"):
        return {"object": "response.input_tokens", "input_tokens": 10}
    if path.endswith("/input_items"):
        page = {"first_id": "", "last_id": "", "has_more": False}
        return {"object": "list", "data": []} | page
    plan = make_plan({"model": "sim-text", "input": identity})
    return responses.response(plan, {}) | {"id": identity}


def _model_answer(provider: str, api: str, body: dict[str, Any]) -> Script:
    plan = make_plan(body)
    for feature in ("error", "html"):
        if plan.has(feature):
            return _failure(provider, plan, feature)
    if "model" not in body:
        message = "you must provide a model parameter"
        return api_error(provider, 400, "invalid_request_error", message, plan.token)
    if body.get("stream") is True:
        return _stream(provider, plan, list(_events(api, plan, body)))
    whole = to_json(_whole(api, plan, body))
    size = plan.number("split")
    return Script(
        headers=_headers(provider, plan.token),
        body=resplit(whole, [size]) if size else whole,
        encoding=_encoding(plan),
        interval=plan.number("slow") / 1000 if size else 0.0,
        delay=plan.number("late") / 1000,
        **_breaking(plan, len(whole)),
    )


def _failure(provider: str, plan: Plan, feature: str) -> Script:
    status = plan.number(feature, 500)
    if feature == "html":
        page = b"<html><body><h1>Bad gateway</h1></body></html>\n"
        return Script(
            status=status, reason="Oops", headers=[("Content-Type", "text/html")], body=page
        )
    return api_error(provider, status, "", "The simulator was asked to fail.", plan.token)


def _stream(provider: str, plan: Plan, events: list[bytes]) -> Script:
    size = plan.number("split")
    pieces = resplit(b"".join(events), [size]) if size else events
    headers = [("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache")]
    return Script(
        headers=headers + _common(provider, plan.token),
        body=pieces,
        framing="chunked",
        encoding=_encoding(plan),
        interval=plan.number("slow") / 1000,
        delay=plan.number("late") / 1000,
        **_breaking(plan, sum(map(len, pieces))),
    )


def _breaking(plan: Plan, size: int) -> dict[str, Any]:
    if plan.has("cut"):
        return {"ending": "close", "cut": size // 2}
    if plan.has("reset"):
        return {"ending": "reset", "cut": size // 2}
    return {}


def _encoding(plan: Plan) -> str:
    return next((name for name in _ENCODINGS if plan.has(name)), "")


def _events(api: str, plan: Plan, body: dict[str, Any]) -> Iterator[bytes]:
    if api == "chat":
        return chat.chunks(plan, body)
    if api == "responses":
        return responses.events(plan, body)
    return messages.events(plan)


def _whole(api: str, plan: Plan, body: dict[str, Any]) -> dict[str, Any]:
    if api == "chat":
        return chat.completion(plan, body)
    if api == "responses":
        return responses.response(plan, body)
    return messages.message(plan)


def _headers(provider: str, token: str) -> list[tuple[str, str]]:
    return [("Content-Type", "application/json"), *_common(provider, token)]


def _common(provider: str, token: str) -> list[tuple[str, str]]:
    if provider == "anthropic":
        return [("request-id", f"req_{token}"), *_ANTHROPIC_HEADERS]
    return [("x-request-id", f"req_{token}"), *_OPENAI_HEADERS]
