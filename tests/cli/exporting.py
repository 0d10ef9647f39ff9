"""What tests of exports share: a store with a thread of tool calls, and hostile text."""

from __future__ import annotations

from typing import Any

from aigw.records import CostBasis, Status, TokenUsage, ToolResult, ToolUsage
from tests.store.rows import NOON, SECOND, Store, end, prompt, start

HOSTILE = "=HYPERLINK(1)\x1b]0;owned\x07\u202e\r\n\tI said \"no\", 'yes' \u00e9\U0001f600\x00end"
FIRST = "019b7980-0000-7000-8000-000000000001"
SECOND_ID = "019b7980-0000-7000-8000-000000000002"
CALLS = ("call_a", "call_b")


def write_thread(store: Store, **fields: Any) -> None:
    """A prompt whose answer makes two tool calls, and the request that brings both results."""
    store.write(
        start(FIRST, NOON, **fields),
        prompt(FIRST, "list the files", NOON),
        *(
            ToolUsage(
                interception_id=FIRST,
                created_at=NOON + SECOND,
                id=f"u-{call}",
                msg_id="msg_1",
                tool_call_id=call,
                tool="Bash",
                input='{"command":"ls"}',
            )
            for call in CALLS
        ),
        _usage(FIRST, NOON + SECOND, 1_000_000),
        end(FIRST, NOON + SECOND, cost_micros=1_000_000),
    )
    later = NOON + 3 * SECOND
    store.write(
        start(SECOND_ID, later, correlating_tool_call_id=CALLS[1], **fields),
        *(
            ToolResult(
                interception_id=SECOND_ID,
                created_at=later,
                id=f"r-{call}",
                tool_call_id=call,
                is_error=call == CALLS[1],
                size=5,
                content=f"of {call}",
            )
            for call in CALLS
        ),
        _usage(SECOND_ID, later + SECOND, 500_000),
        end(
            SECOND_ID,
            later + SECOND,
            status=Status.FAILED,
            status_code=529,
            error_type="overloaded_error",
            error_message="try later",
            cost_micros=500_000,
        ),
    )


def _usage(key: str, at: int, cost: int) -> TokenUsage:
    return TokenUsage(
        interception_id=key,
        created_at=at,
        id=f"k-{key}",
        msg_id="msg_1",
        input_tokens=10,
        output_tokens=20,
        cost_micros=cost,
        cost_basis=CostBasis.WIRE,
        price_source="test",
    )
