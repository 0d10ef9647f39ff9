"""Which tool call started a sub-agent, and which thread is another one tried again. No I/O.

Clients do not send which call a sub-agent belongs to. Two things tell it:

- Claude Code's `Task`, OpenCode's `task` and their like have an argument `prompt`, Codex'
  `spawn_agent` has `message`, and the sub-agent's thread begins with exactly that text.
- A client may name the agent that asks, and the one that started it (`agent_id`,
  `parent_agent_id`). What an agent asks later hangs where its first thread does.

A call comes before what it starts, so nothing can hang below itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aigw.store.session_parts import Origin

LOOKED_AT = 200
"""Calls that a thread is compared with at most, the latest before it. Agents start some dozens at
once; a client that sends one prompt ten thousand times must not make a reader wait."""


class Moment(NamedTuple):
    """A place in time: an interception's start, and its id where two began at once."""

    at: int
    id: str


@dataclass(frozen=True, slots=True)
class PromptingCall:
    """A tool call with an argument that may be an agent's prompt. `answered_at` is None while it is open."""

    origin: Origin
    made: Moment
    thread: int
    agent_id: str | None
    prompt: str
    answered_at: int | None

    def is_open(self, at: int) -> bool:
        """Whether the result was still to come."""
        return self.answered_at is None or self.answered_at >= at


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a thread begins. `dead_at`: all it has is one step, which failed or was aborted then."""

    thread: int
    moment: Moment
    agent_id: str | None
    parent_agent_id: str | None
    prompt: str
    dead_at: int | None


@dataclass(frozen=True, slots=True)
class Links:
    """What was found, by thread: `calls` that started it, `retries` of which other thread."""

    calls: dict[int, PromptingCall]
    retries: dict[int, int]


def normal(text: str | None) -> str:
    """A prompt in the form that is compared: blanks of all kinds are one space."""
    return " ".join(text.split()) if text else ""


def link(beginnings: Iterable[Beginning], calls: Iterable[PromptingCall]) -> Links:
    """Find each thread's call and what it tries again. Both must be in order of time."""
    by_prompt: dict[str, list[PromptingCall]] = {}
    known = list(calls)
    for call in known:
        by_prompt.setdefault(call.prompt, []).append(call)
    links = Links({}, {})
    taken: set[Origin] = set()
    dead: dict[tuple[str | None, str], Beginning] = {}
    agents: dict[str, PromptingCall] = {}
    for thread in beginnings:
        tried = _tried(dead, thread)
        if tried is not None:
            links.retries[thread.thread] = tried.thread
        found = (
            (None if tried is None else links.calls.get(tried.thread))
            or _same_prompt(by_prompt.get(thread.prompt, []), taken, thread)
            or agents.get(thread.agent_id or "")
            or _only_open(known, taken, thread)
        )
        if found is not None:
            links.calls[thread.thread] = found
            taken.add(found.origin)
            if thread.agent_id is not None:
                agents.setdefault(thread.agent_id, found)
    return links


def origin_of(prompt: str, started: Moment, calls: Iterable[PromptingCall]) -> Origin | None:
    """The latest earlier call with this prompt: where a session of its own hangs."""
    found = [call for call in calls if prompt and call.prompt == prompt and call.made < started]
    return found[-1].origin if found else None


def _tried(dead: dict[tuple[str | None, str], Beginning], thread: Beginning) -> Beginning | None:
    """The dead thread that this one repeats; notes this one when it is dead itself."""
    key = (thread.agent_id, thread.prompt)
    before = dead.get(key) if thread.prompt else None
    found = None
    if before is not None and before.dead_at is not None and before.dead_at <= thread.moment.at:
        found = dead.pop(key)
    if thread.dead_at is not None:
        dead[key] = thread
    return found


def _before(calls: Sequence[PromptingCall], moment: Moment) -> Sequence[PromptingCall]:
    end = bisect_left(calls, moment, key=lambda call: call.made)
    return calls[max(0, end - LOOKED_AT) : end]


def _same_prompt(
    calls: Sequence[PromptingCall], taken: set[Origin], thread: Beginning
) -> PromptingCall | None:
    """The likeliest of the calls with the thread's prompt.

    A call that nobody has answered for yet comes first. One that has its sub-agent and its result
    counts only for an agent: a person may well type the same words.
    """
    ranked: list[tuple[bool, bool, PromptingCall]] = []
    for call in _before(calls, thread.moment):
        if not thread.prompt or call.thread == thread.thread:
            continue
        is_taken, is_over = call.origin in taken, not call.is_open(thread.moment.at)
        if is_taken and is_over and thread.agent_id is None:
            continue
        ranked.append((is_taken, is_over, call))
    return min(ranked, key=lambda each: each[:2])[2] if ranked else None


def _only_open(
    calls: Sequence[PromptingCall], taken: set[Origin], thread: Beginning
) -> PromptingCall | None:
    """The one call that the agent's parent waits for, if there is just one."""
    if thread.agent_id is None:
        return None
    waiting = [
        call
        for call in _before(calls, thread.moment)
        if call.agent_id == thread.parent_agent_id
        and call.is_open(thread.moment.at)
        and call.origin not in taken
        and call.thread != thread.thread
    ]
    return waiting[0] if len(waiting) == 1 else None
