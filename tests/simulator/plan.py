"""What to answer: read from the request's model name, so that any client can steer the simulator.

A model `sim-` followed by features joined with `+`, each with an optional number:

    sim-text              a short text (also any other model name)
    sim-words-50          a text of 50 words, one delta each
    sim-size-200000       one more delta of that many bytes
    sim-tools-2           two parallel tool calls, unless the request brings tool results
    sim-custom            a custom tool call (Responses)
    sim-think             thinking (Messages), reasoning_content (Chat), reasoning summary (Responses)
    sim-redacted          a redacted_thinking block (Messages)
    sim-commentary        an assistant message of the commentary phase (Responses)
    sim-search            a server side web search (Messages)
    sim-cached            cached input tokens
    sim-refusal           a refusal
    sim-length            stops at the token limit
    sim-error-429         an HTTP error (400 401 403 404 413 429 500 503 529)
    sim-html-502          an error whose body is HTML
    sim-break             an error event in the middle of the stream
    sim-failed, sim-incomplete    how a Responses answer ends
    sim-cut, sim-reset    the connection ends in the middle of the answer
    sim-slow-20           20 ms between events
    sim-late-20           20 ms before the head
    sim-gzip, -deflate, -br, -zstd    compressed, flushed at every event
    sim-split-7           pieces of 7 bytes instead of one an event
    sim-nousage           no usage at all

Everything is a function of the request's model and prompt: the same question gives the same bytes,
with or without a gateway between.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from tests.simulator.sse import to_json

CREATED = 1_760_000_000
"""The moment every answer claims to be made at, in seconds."""

_WORDS = [
    "river",
    "lantern",
    "quiet",
    "copper",
    "meadow",
    "signal",
    "orbit",
    "paper",
    "window",
    "harvest",
    "amber",
    "bridge",
    "canyon",
    "violet",
    "engine",
    "morning",
    "salt",
    "garden",
    "thunder",
    "pebble",
]
_FEATURE = re.compile(r"([a-z]+)(?:-(\d+))?")


@dataclass(frozen=True)
class Call:
    """One tool call."""

    call_id: str
    item_id: str
    name: str
    arguments: dict[str, Any]

    def json(self) -> str:
        """The arguments as JSON text."""
        return to_json(self.arguments).decode()

    def fragments(self) -> list[str]:
        """The arguments as the deltas of a stream."""
        text = self.json()
        return [text[start : start + 9] for start in range(0, len(text), 9)]


@dataclass(kw_only=True)
class Plan:
    """An answer in no API's particular form."""

    model: str
    token: str
    features: dict[str, int | None]
    words: list[str]
    calls: list[Call] = field(default_factory=list)
    custom: Call | None = None
    thinking: list[str] = field(default_factory=list)
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def has(self, feature: str) -> bool:
        """Whether the model name asked for a feature."""
        return feature in self.features

    def number(self, feature: str, default: int = 0) -> int:
        """A feature's number; `default` where it is absent or has none."""
        return self.features.get(feature) or default

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.words)


def read_features(model: str) -> dict[str, int | None]:
    """The features of a model name; empty for names that are not the simulator's own."""
    if not model.startswith("sim-"):
        return {}
    features: dict[str, int | None] = {}
    for part in model.removeprefix("sim-").split("+"):
        if match := _FEATURE.fullmatch(part):
            features[match[1]] = int(match[2]) if match[2] else None
    return features


def make_plan(body: dict[str, Any]) -> Plan:
    """The answer to a request of any of the three APIs."""
    model = body.get("model")
    model = model if isinstance(model, str) else ""
    conversation = body.get("messages", body.get("input"))
    seed = to_json([model, conversation])
    token = hashlib.sha256(seed).hexdigest()[:20]
    features = read_features(model)
    plan = Plan(model=model, token=token, features=features, words=_text(features, token))
    if "think" in features:
        plan.thinking = [
            "Let me see. ",
            f"The question is {token[:6]}, ",
            "so the answer is plain.",
        ]
    if not _brings_results(conversation):
        plan.calls = _calls(features, body, token)
        if "custom" in features:
            plan.custom = Call(f"call_c{token}", f"ctc_{token}", "apply_patch", {"patch": "*** x"})
    _count(plan, len(seed))
    return plan


def _text(features: dict[str, int | None], token: str) -> list[str]:
    count = features.get("words") or 6
    start = int(token[:4], 16)
    words = [_WORDS[(start + turn * 7) % len(_WORDS)] + " " for turn in range(count)]
    if size := features.get("size"):
        words.append("x" * size)
    return [*words, f"({token[:8]})."]


def _brings_results(conversation: Any) -> bool:
    if not isinstance(conversation, list) or not conversation:
        return False
    last = conversation[-1]
    if not isinstance(last, dict):
        return False
    if last.get("role") == "tool" or str(last.get("type", "")).endswith("call_output"):
        return True
    content = last.get("content")
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in content
    )


def _calls(features: dict[str, int | None], body: dict[str, Any], token: str) -> list[Call]:
    if "tools" not in features:
        return []
    names = [name for tool in body.get("tools") or [] if (name := _tool_name(tool))]
    names = names or ["get_weather"]
    return [
        Call(
            call_id=f"call_{turn}{token}",
            item_id=f"fc_{turn}{token}",
            name=names[turn % len(names)],
            arguments={"city": _WORDS[turn], "units": "metric", "turn": turn, "seed": token[:6]},
        )
        for turn in range(features["tools"] or 1)
    ]


def _tool_name(tool: Any) -> str | None:
    if not isinstance(tool, dict):
        return None
    name = tool.get("name") or (tool.get("function") or {}).get("name")
    return name if isinstance(name, str) else None


def _count(plan: Plan, size: int) -> None:
    plan.input_tokens = 12 + size // 4
    if plan.has("cached"):
        plan.cached_tokens = 64
        plan.cache_write_tokens = 32
        plan.input_tokens += 64
    plan.reasoning_tokens = 3 * len(plan.thinking)
    plan.output_tokens = len(plan.words) + 11 * len(plan.calls) + plan.reasoning_tokens
