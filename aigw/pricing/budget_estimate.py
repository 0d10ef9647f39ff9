"""The most that a request is likely to cost, in tokens and calls: what budgets reserve for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aigw.wire.facts import RequestFacts

DEFAULT_OUTPUT_TOKENS = 32_000
"""Reserved for the answer where the request sets no bound: the longest that most models give, and
what Claude Code asks for."""

MOST_OUTPUT_TOKENS = 400_000
"""Reserved at most, whatever bound the request sets: no model writes more, and one request must not
hold a whole budget back from all others."""

BYTES_PER_TOKEN = 2
"""Of a request's body. English text has about four, JSON and code three to four, images hundreds; and
a third less with Claude's newer tokenizer (https://platform.claude.com/docs/en/about-claude/pricing).
A picture's address or a file's id stands for more than its bytes, and nobody knows here for how much."""

DEFAULT_CALLS = 8
"""Calls reserved of each tool that the provider charges by the call, where the request sets no bound:
as many as Claude Code allows a web search."""

MOST_CALLS = 100
"""Reserved at most, for the reason of `MOST_OUTPUT_TOKENS`."""

WEB_SEARCHES = ("web_search_requests", "web_search_preview_requests")

SEARCHED_TOKENS = 8_000
"""Input that the results of one web search are: OpenAI bills some models for that many whatever was
found ("Pricing", web search), others and Anthropic for what there was, which is mostly less."""

CONTINUED_TOKENS = 32_000
"""Input that an earlier response stands for whose tokens are not known, and a conversation: half an
hour of an agent's work."""

MOST_INPUT_TOKENS = 1_000_000
"""Of an earlier response. No context window is larger."""

LONGEST_ID = 256
"""Characters. Real ids have about sixty, and 10,000 of any length must not fill the memory."""

MOST_RESPONSES = 10_000
"""Responses whose tokens are remembered, the latest: some two megabytes."""


class Estimator(Protocol):
    """Knows what models cost."""

    def estimate_micros(
        self,
        provider_name: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        facts: RequestFacts,
        calls: Mapping[str, int] = {},
    ) -> int | None:
        """The most that so many tokens and calls may cost, in micro-dollars; None: no price."""

    def lacking(self, provider_name: str, model: str, facts: RequestFacts) -> str | None:
        """What of a request has no price, as the end of a sentence; None where all has one."""


class EarlierResponses:
    """How many tokens each of the latest responses came to: what a request reads that names one."""

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}

    def add(self, response_id: str, tokens: int) -> None:
        """Remember a response. One that is billed in parts is the sum of them."""
        if not response_id or len(response_id) > LONGEST_ID:
            return
        known = self._tokens.pop(response_id, 0)
        if len(self._tokens) >= MOST_RESPONSES:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[response_id] = known + tokens

    def tokens(self, response_id: str) -> int:
        """What it came to, or a guess."""
        return min(self._tokens.get(response_id, CONTINUED_TOKENS), MOST_INPUT_TOKENS)


def most_output(facts: RequestFacts) -> int:
    """Tokens of the longest answer."""
    return min(facts.max_output_tokens or DEFAULT_OUTPUT_TOKENS, MOST_OUTPUT_TOKENS)


def most_calls(facts: RequestFacts) -> dict[str, int]:
    """Calls of each tool that is charged by the call."""
    return {
        name: min(DEFAULT_CALLS if bound is None else bound, MOST_CALLS)
        for name, bound in facts.server_tools().items()
    }


def most_input(size: int, calls: Mapping[str, int]) -> int:
    """Tokens that a body of so many bytes is, and the results of so many calls."""
    searches = sum(calls.get(name, 0) for name in WEB_SEARCHES)
    return size // BYTES_PER_TOKEN + 1 + searches * SEARCHED_TOKENS
