"""What a wire reader found: plain values without ids or times, which the recorder adds.

The reading interface is two protocols. A reader never raises on any input: what it cannot
understand yields no fact. Any split of the same bytes over `feed` calls yields the same facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from aigw.records import Status
from aigw.wire.server_tools import charged_calls


class ToolResultFact(msgspec.Struct, frozen=True, gc=False):
    """A tool's result sent back by the client. `size` is in bytes of UTF-8 before any cut."""

    tool_call_id: str
    content: str
    size: int
    is_error: bool = False
    truncated: bool = False


class RequestFacts(msgspec.Struct, kw_only=True):
    """What a request says. `model` is empty and the rest absent where the body does not say it.

    `prompt` is the last user prompt, None where the request only continues an agent's loop.
    `tool_results` are those of the request's last message only: earlier ones were sent before.
    `session_key` is the session id found in the body (Claude Code's `metadata.user_id`, Codex'
    `client_metadata.session_id`), None where there is none.
    `lacks_usage` is true for a streaming chat completion whose client did not ask for usage.
    `max_output_tokens` is the longest answer the client asks for, None where it sets no bound.
    `service_tier` is the class of service it asks for (`priority`, `flex`, `fast`), empty for the usual
    one. `keeps_for_hour` is true where something is to stay in the provider's cache for an hour, which
    is looked for by `apis.keeps_for_hour` where somebody needs to know; `in_background` where the
    answer is to be fetched later.
    `tools` are those it offers, each as JSON, and `max_tool_calls` its bound for all of the provider's.
    `continues` is the id of the earlier response or conversation that the request goes on from, empty
    where it says all itself.
    """

    model: str = ""
    streaming: bool = False
    prompt: str | None = None
    tool_results: list[ToolResultFact] = []
    correlating_tool_call_id: str | None = None
    session_key: str | None = None
    prompt_cache_key: str | None = None
    lacks_usage: bool = False
    max_output_tokens: int | None = None
    service_tier: str = ""
    keeps_for_hour: bool = False
    in_background: bool = False
    tools: Sequence[msgspec.Raw] = ()
    max_tool_calls: int | None = None
    continues: str = ""

    def server_tools(self) -> dict[str, int | None]:
        """The tools that the provider runs and charges by the call, as `server_tools.charged_calls` has them.

        Read when asked for: agents offer dozens of tools, and only budgets need to know.
        """
        return charged_calls(self.tools, self.max_tool_calls)


class UsageFact(msgspec.Struct, frozen=True, gc=False):
    """Final token counts of one response. `extra`: further kinds, under the reference's names.

    `service_tier` is the class of service the provider says it answered with (`batch`, `priority`,
    `flex`, `fast`), empty for the standard one or where it does not say. `inference_geo` is where the
    provider says the model ran, empty where that is anywhere. `model` is the one that these tokens
    are billed for, where it is not the one asked for: Anthropic's advisor, or a model that stepped in.
    `charged_micros` is what the provider says it charges, in millionths of a US dollar, where it does.
    `is_estimate` marks the floor of
    an answer that broke off before the provider had counted, whose `input_tokens` are 0 where not
    even the input was stated.
    """

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_tokens: int = 0
    extra: dict[str, int] = {}
    service_tier: str = ""
    is_estimate: bool = False
    inference_geo: str = ""
    model: str = ""
    charged_micros: int | None = None

    @property
    def total_input_tokens(self) -> int:
        """All that the model read: new, from the cache, and into the cache."""
        return self.input_tokens + self.cache_read_input_tokens + self.cache_write_input_tokens

    def metadata(self) -> dict[str, int | str]:
        """What is recorded beside the counts."""
        named = {
            "service_tier": self.service_tier,
            "inference_geo": self.inference_geo,
            "model": self.model,
        }
        return {**self.extra, **{name: value for name, value in named.items() if value}}


class ToolCallFact(msgspec.Struct, frozen=True, gc=False):
    """A tool call the model made. `input` is JSON text."""

    tool_call_id: str
    tool: str
    input: str
    item_id: str = ""


class ThoughtFact(msgspec.Struct, frozen=True, gc=False):
    """Reasoning the model showed, and where it stood."""

    content: str
    source: str


ResponseFact: TypeAlias = UsageFact | ToolCallFact | ThoughtFact


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How the provider says the answer went. `error_type` is also an incomplete answer's reason."""

    status: Status
    error_type: str | None = None
    error_message: str | None = None


class RequestReader(Protocol):
    """Reads one request body, already decompressed."""

    def __call__(self, body: bytes) -> RequestFacts:
        """The facts of a body; all defaults where it is not JSON or not of the expected shape."""


class ResponseReader(Protocol):
    """Reads one answer, already decompressed, as its bytes arrive."""

    @property
    def response_id(self) -> str:
        """The provider's id of the response; empty until known."""

    @property
    def ended(self) -> bool:
        """True once the bytes fed so far hold the whole terminal event.

        Never True early: the relay holds back what completes the answer until all is committed.
        For a JSON document it stays False until `finish`: the relay holds back its last bytes.
        """

    @property
    def unfinished(self) -> bytes:
        """The first bytes of a stream's event that is not whole yet; empty where there is none.

        The relay looks for the terminal event's name in it, to hold that back from its beginning.
        Empty also for answers whose parts a client cannot act on: documents and binary frames.
        """

    @property
    def unfinished_length(self) -> int:
        """How many bytes of that event have come."""

    def feed(self, data: bytes) -> list[ResponseFact]:
        """The facts that these bytes complete, in order."""

    def finish(self) -> list[ResponseFact]:
        """The facts left at the end of the bytes: also what a broken-off answer yielded so far."""

    def outcome(self) -> Outcome | None:
        """The provider's verdict; None when the bytes ended without one (a truncated answer)."""
