"""What a session is made of: threads, their steps, tool calls with results, sub-agents.

A *thread* is a prompt and all that followed from it; a *step* is one interception in it. A thread
that a tool call of the same session started (a sub-agent's) says which one: its `origin`. Times are
in microseconds, durations in milliseconds, costs in millionths of a US dollar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from aigw.store.sessions import SessionSummary


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A row of the table `sessions`. `parent_id` is the id of the session that started this one."""

    seq: int
    id: str
    initiator_id: str
    parent_id: str | None
    started_at: int
    last_active_at: int


class Origin(NamedTuple):
    """The tool call that something hangs below, and the interception that made the call."""

    interception_id: str
    tool_call_id: str


@dataclass(slots=True)
class Figures:
    """Sums over interceptions.

    As in `sessions.SessionSummary`: `cost_micros` is what is paid per token, `plan_micros` the list
    price of what a subscription covers. `unpriced` and `estimated` count token records without a known price, and with counts
    that the provider did not send. `errors` are failed requests, `aborted` those broken off.
    """

    requests: int = 0
    errors: int = 0
    aborted: int = 0
    running: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost_micros: int = 0
    plan_micros: int = 0
    unpriced: int = 0
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a tool returned, from the first later interception that brought it.

    `size` is the whole result in bytes, `content` may be cut short (`truncated`).
    """

    interception_id: str
    tool_call_id: str
    created_at: int
    is_error: bool
    size: int
    content: str
    truncated: bool
    metadata: dict[str, Any]


@dataclass(slots=True)
class Call:
    """A tool call. `input` is JSON text; no `result`: it was not answered (yet, or to us)."""

    seq: int
    id: str
    interception_id: str
    created_at: int
    msg_id: str
    tool_call_id: str
    item_id: str
    tool: str
    input: str
    server_url: str | None
    injected: bool
    invocation_error: str | None
    metadata: dict[str, Any]
    result: CallResult | None = None


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning that the model showed. `source` is as in `records.ModelThought`, or empty."""

    created_at: int
    content: str
    source: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """One token record: its further kinds in `metadata`, and what its cost rests on."""

    msg_id: str
    cost_micros: int | None
    cost_basis: str
    price_source: str
    metadata: dict[str, Any]


@dataclass(slots=True)
class Step:
    """One interception of a thread. What is not known before it ends is None, or 0 for counts.

    `retry_of` is the id of the failed or aborted step that this one asks again. `other_results`
    are tool results that no recorded call of the session explains.
    """

    kind: Literal["interception"] = field(default="interception", init=False)
    seq: int
    id: str
    parent_id: str | None
    started_at: int
    ended_at: int | None
    provider: str
    provider_name: str
    route: str
    model: str
    requested_model: str | None
    client: str
    credential_kind: str
    credential_hint: str
    api_key_id: str | None
    agent_id: str | None
    plan: str | None
    status: str | None
    status_code: int | None
    error_type: str | None
    error_message: str | None
    duration_ms: int | None
    time_to_first_byte_ms: int | None
    streaming: bool | None
    attempts: int
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_write_input_tokens: int
    reasoning_tokens: int
    cost_micros: int
    unpriced: int
    estimated: int
    context_window: int | None
    metadata: dict[str, Any]
    retry_of: str | None = None
    prompt: str | None = None
    thoughts: list[Thought] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    other_results: list[CallResult] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)

    @property
    def context_share(self) -> float | None:
        """How much of the model's context the request filled, 1 for all; None where unknown."""
        if not self.context_window:
            return None
        used = self.input_tokens + self.cache_read_input_tokens + self.cache_write_input_tokens
        return used / self.context_window


Event: TypeAlias = Step
"""What happens in a thread, told apart by `kind`. Network calls will be another kind."""


@dataclass(slots=True)
class Thread:
    """A prompt and what followed. `id` is its first interception's; `steps` is never empty.

    `retry_of` is the id of the thread with the same prompt that failed or was aborted at once.
    """

    id: str
    agent_id: str | None
    parent_agent_id: str | None
    origin: Origin | None
    retry_of: str | None
    figures: Figures
    steps: list[Event]

    @property
    def prompt(self) -> str | None:
        """What the thread began with."""
        return self.steps[0].prompt

    @property
    def started_at(self) -> int:
        """When the first step began."""
        return self.steps[0].started_at

    @property
    def ended_at(self) -> int | None:
        """When the last answer ended; None while one is running."""
        ends = [step.ended_at for step in self.steps]
        return None if None in ends else max(end for end in ends if end is not None)


@dataclass(frozen=True, slots=True)
class Child:
    """A session that this one started, and what it came to. `origin` is None where not known."""

    row: SessionRow
    figures: Figures
    origin: Origin | None


@dataclass(slots=True)
class Session:
    """A session and one page of its threads, in order of time.

    Attributes:
        summary: what the whole session came to.
        tool_errors: how many tool results in the whole session are errors.
        threads: this page's. With whole families, sub-agents' threads come with their origin's.
        position: how many of the threads that pages count come before this page.
        page_count: how many of those are on this page.
        pageable: how many of those there are.
        before: cursor of the page before this one; None on the first.
        after: cursor of the next page; None on the last.
        texts_cut_at: the characters that longer texts of the page were cut to (`text_room`), or None.
    """

    summary: SessionSummary
    tool_errors: int
    threads: list[Thread]
    children: list[Child]
    position: int
    page_count: int
    pageable: int
    before: str | None
    after: str | None
    texts_cut_at: int | None = None
