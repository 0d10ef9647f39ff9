"""Sessions as JSON: one form for the HTTP API and the `--json` of `aigw session` and `aigw sessions`.

The names are those of Coder's API where it has them (`token_usage_summary`, `agentic_actions`,
`tool_calls`, `thinking`); ours stand beside them. Times are RFC 3339, costs whole micro-dollars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aigw.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aigw.store.session_parts import (
        Call,
        CallResult,
        Child,
        Figures,
        Origin,
        Session,
        Step,
        Thread,
    )
    from aigw.store.sessions import SessionSummary

TOKEN_KINDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_tokens",
)


def summary_object(summary: SessionSummary) -> dict[str, Any]:
    """One session of a list."""
    name = summary.initiator_id
    return {
        "id": summary.id,
        "parent_id": summary.parent_id,
        "initiator": {"id": name, "username": name, "name": name, "avatar_url": ""},
        "client": summary.clients[0] if summary.clients else None,
        "clients": list(summary.clients),
        "providers": list(summary.providers),
        "models": list(summary.models),
        "metadata": summary.metadata,
        "started_at": rfc3339(summary.started_at),
        "ended_at": _time(summary.ended_at),
        "last_active_at": rfc3339(summary.last_active_at),
        "threads": summary.threads,
        **_figures(summary),
        "tools": summary.tools,
        "first_prompt": summary.first_prompt,
        "last_prompt": summary.last_prompt,
    }


def session_object(session: Session) -> dict[str, Any]:
    """A session with a page of its threads, each with all it holds.

    `threads` is a flat list in order of time; what a tool call started says which one by its
    `origin`. `thread_count` is how many threads the session has on all pages.
    """
    found = summary_object(session.summary)
    found["thread_count"] = found["threads"]
    ends = [thread.ended_at for thread in session.threads]
    return found | {
        "tool_errors": session.tool_errors,
        "page_started_at": _time(min((t.started_at for t in session.threads), default=None)),
        "page_ended_at": None if None in ends else _time(max(filter(None, ends), default=None)),
        "before_id": session.before,
        "after_id": session.after,
        "texts_cut_at": session.texts_cut_at,
        "threads": [_thread(thread) for thread in session.threads],
        "children": [_child(child) for child in session.children],
    }


def _thread(thread: Thread) -> dict[str, Any]:
    first = thread.steps[0]
    # The last word: what a retry got over is no longer the thread's error.
    last = thread.steps[-1]
    figures = _figures(thread.figures)
    usage = figures.pop("token_usage_summary")
    metadata = _summed(tokens.metadata for step in thread.steps for tokens in step.tokens)
    return {
        "id": thread.id,
        "prompt": thread.prompt,
        "origin": _origin(thread.origin),
        "retry_of": thread.retry_of,
        "agent_id": thread.agent_id,
        "parent_agent_id": thread.parent_agent_id,
        "model": first.model,
        "provider": first.provider,
        "provider_name": first.provider_name,
        "credential_kind": first.credential_kind,
        "credential_hint": first.credential_hint,
        "started_at": rfc3339(thread.started_at),
        "ended_at": _time(thread.ended_at),
        "token_usage": usage | {"metadata": metadata},
        **figures,
        "error_type": last.error_type,
        "error_message": last.error_message,
        "agentic_actions": [_step(step) for step in thread.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    usage: dict[str, Any] = {name: getattr(step, name) for name in TOKEN_KINDS}
    share = step.context_share
    return {
        "kind": step.kind,
        "id": step.id,
        "parent_id": step.parent_id,
        "retry_of": step.retry_of,
        "provider": step.provider,
        "provider_name": step.provider_name,
        "route": step.route,
        "model": step.model,
        "requested_model": step.requested_model,
        "client": step.client or None,
        "api_key_id": step.api_key_id,
        "credential_kind": step.credential_kind,
        "credential_hint": step.credential_hint,
        "agent_id": step.agent_id,
        "started_at": rfc3339(step.started_at),
        "ended_at": _time(step.ended_at),
        "duration_ms": step.duration_ms,
        "time_to_first_byte_ms": step.time_to_first_byte_ms,
        "streaming": step.streaming,
        "status": step.status,
        "status_code": step.status_code,
        "error_type": step.error_type,
        "error_message": step.error_message,
        "attempts": None if step.ended_at is None else step.attempts,
        "token_usage": usage | {"metadata": _summed(each.metadata for each in step.tokens)},
        "cost_micros": step.cost_micros,
        "plan": step.plan,
        "unpriced": step.unpriced,
        "estimated": step.estimated,
        "price_sources": sorted({each.price_source for each in step.tokens if each.price_source}),
        "context_window": step.context_window,
        "context_share": None if share is None else round(share, 4),
        "metadata": step.metadata,
        "prompt": step.prompt,
        "thinking": [
            {"text": each.content, "source": each.source, "created_at": rfc3339(each.created_at)}
            for each in step.thoughts
        ],
        "tool_calls": [_call(call) for call in step.calls],
        "other_tool_results": [_result(result) for result in step.other_results],
    }


def _call(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "interception_id": call.interception_id,
        "provider_response_id": call.msg_id,
        "tool_call_id": call.tool_call_id,
        "item_id": call.item_id,
        "server_url": call.server_url,
        "tool": call.tool,
        "injected": call.injected,
        "input": call.input,
        "invocation_error": call.invocation_error,
        "metadata": call.metadata,
        "created_at": rfc3339(call.created_at),
        "result": None if call.result is None else _result(call.result),
    }


def _result(result: CallResult) -> dict[str, Any]:
    return {
        "interception_id": result.interception_id,
        "tool_call_id": result.tool_call_id,
        "is_error": result.is_error,
        "size": result.size,
        "content": result.content,
        "truncated": result.truncated,
        "metadata": result.metadata,
        "created_at": rfc3339(result.created_at),
    }


def _child(child: Child) -> dict[str, Any]:
    return {
        "id": child.row.id,
        "origin": _origin(child.origin),
        "started_at": rfc3339(child.row.started_at),
        "last_active_at": rfc3339(child.row.last_active_at),
        **_figures(child.figures),
    }


def _figures(sums: Figures | SessionSummary) -> dict[str, Any]:
    """The sums that sessions, threads and children have in common."""
    return {
        "requests": sums.requests,
        "errors": sums.errors,
        "aborted": sums.aborted,
        "running": sums.running,
        "token_usage_summary": {name: getattr(sums, name) for name in TOKEN_KINDS},
        "cost_micros": sums.cost_micros,
        "plan_micros": sums.plan_micros,
        "unpriced": sums.unpriced,
        "estimated": sums.estimated,
    }


def _origin(origin: Origin | None) -> dict[str, str] | None:
    return None if origin is None else origin._asdict()


def _summed(all_metadata: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Further token kinds, added up. What is no count (a service tier) stands in the records."""
    sums: dict[str, int] = {}
    for metadata in all_metadata:
        for name, value in metadata.items():
            if isinstance(value, int) and not isinstance(value, bool):
                sums[name] = sums.get(name, 0) + value
    return sums


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else rfc3339(microseconds)
