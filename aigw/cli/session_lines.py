"""A session as a tree of lines: what was asked, what the agent did, what came of it, what it cost.

A sign tells what a line is, as in `aigw logs`: `?` a prompt, `#` a step (one request), `~` a thought,
`$` a tool call with `=>` its result, `>` a session that was started. What a call started is indented
below it. Text is cut to the width with an ellipsis; `--tools` and `--thoughts` show it whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aigw.cli.pen import BOLD, CYAN, DIM, GREEN, MAGENTA, RED, YELLOW, Part, Pen
from aigw.cli.record_lines import SHORT_ID
from aigw.cli.session_words import arguments, cost, count, outcome, span, step_cost, tokens
from aigw.cli.text import clock_time, free_form
from aigw.store.session_parts import Origin

if TYPE_CHECKING:
    from aigw.store.session_parts import Call, CallResult, Child, Session, Step, Thread

PROMPT_LINES = 4
"""Lines of a prompt that begin a thread: enough to know it again. The rest is counted."""

_FACT_WIDTH = 11
_CALL_SHARE = 0.5
"""How much of a line the arguments of a call may take where its result needs the room, too."""

_DEEPEST = 20
"""Levels of sub-agents that stand below their call. Those of deeper ones, which nobody has by
accident, stand at the top and name it."""

_COLUMNS_A_LEVEL = 16
"""A level is indented only where the terminal has so many columns for it: text needs room, too."""

_MICROS = 1_000_000


@dataclass
class Tree:
    """Draws a session. `thoughts` and `tools` show those in full."""

    session: Session
    pen: Pen
    thoughts: bool = False
    tools: bool = False
    _below: dict[Origin, list[Thread]] = field(default_factory=dict)
    _tops: list[Thread] = field(default_factory=list)
    _children: dict[Origin | None, list[Child]] = field(default_factory=dict)
    _day: str = ""

    def lines(self) -> Iterator[str]:
        """The head and the threads of the page."""
        self._arrange()
        yield from self._head()
        for thread in self._tops:
            yield ""
            yield from self._thread(thread, 0)

    def _arrange(self) -> None:
        """Put threads and sessions below the calls that started them, if those are on the page."""
        depths: dict[Origin, int] = {}
        for thread in self.session.threads:
            depth = 0 if thread.origin is None else depths.get(thread.origin, -1) + 1
            if thread.origin is not None and 0 < depth <= _DEEPEST:
                self._below.setdefault(thread.origin, []).append(thread)
            else:
                depth = 0
                self._tops.append(thread)
            for step in thread.steps:
                depths |= {Origin(step.id, call.tool_call_id): depth for call in step.calls}
        for child in self.session.children:
            place = child.origin if child.origin in depths else None
            self._children.setdefault(place, []).append(child)

    def _head(self) -> Iterator[str]:
        summary = self.session.summary
        end = summary.ended_at
        until = "" if end is None else f" to {_moment(end, summary.started_at)}"
        took = "" if end is None else f" ({span((end - summary.started_at) / _MICROS)})"
        running = " (running)" if end is None else ""
        trouble = [
            f"{number:,} {word}"
            for number, word in (
                (summary.errors, "failed"),
                (summary.aborted, "aborted"),
                (summary.running, "running"),
            )
            if number
        ]
        calls = ", ".join(f"{tool} {number:,}" for tool, number in summary.tools.items())
        if self.session.tool_errors:
            calls += f" ({count(self.session.tool_errors, 'error')})"
        requests = [
            count(summary.requests, "request"),
            f"in {count(summary.threads, 'thread')}",
        ]
        facts = {
            "session": summary.id,
            "started by": summary.parent_id or "",
            "client": ", ".join(summary.clients),
            "initiator": summary.initiator_id,
            "time": f"{clock_time(summary.started_at, day=True)}{until}{took}{running}",
            "providers": ", ".join(summary.providers),
            "models": ", ".join(summary.models),
            "requests": " ".join(requests) + "".join(f", {each}" for each in trouble),
            "tokens": tokens(summary),
            "cost": cost(summary),
            "tools": calls,
        }
        for name, value in facts.items():
            if value:
                label = self.pen.painted(f"{name:<{_FACT_WIDTH}}", DIM)
                yield f"{label} {self.pen.painted(value)}"
        for child in self._children.get(None, []):
            yield from self._child(child, "")

    def _thread(self, thread: Thread, depth: int) -> Iterator[str]:
        indent = "    " * min(depth, self.pen.width // _COLUMNS_A_LEVEL)
        yield from self._prompt(thread, indent, depth)
        step_indent = indent + "  "
        for step in thread.steps:
            yield from self._step(step, step_indent, thread, depth)

    def _prompt(self, thread: Thread, indent: str, depth: int) -> Iterator[str]:
        began = clock_time(thread.started_at, day=True)
        day, time = began.split(" ")
        time = time if day == self._day else began
        self._day = day
        marks = [f"agent {thread.agent_id}"] if thread.agent_id else []
        if thread.retry_of:
            marks.append(f"again, after {thread.retry_of[:SHORT_ID]}")
        if thread.origin is not None and not depth:
            marks.append(f"started by a call of {thread.origin.interception_id[:SHORT_ID]}")
        begin = f"{indent}{self.pen.painted('?', GREEN)} {self.pen.painted(time, DIM)} "
        hanging = indent + " " * (len(time) + 3)
        room = self.pen.width - len(hanging)
        if marks:
            yield begin + self.pen.gist(f"[{', '.join(marks)}]", room, YELLOW)
            begin = hanging
        prompt = thread.prompt
        if not prompt or not prompt.strip():
            yield begin + self.pen.painted("(no prompt)", DIM)
        else:
            texts = [line for line in prompt.splitlines() if line.strip()]
            for number, line in enumerate(texts[:PROMPT_LINES]):
                yield (hanging if number else begin) + self.pen.gist(line, room, BOLD)
            rest = texts[PROMPT_LINES:]
            if rest:
                yield from self._rest(rest, hanging, room, thread.id)
        if thread.figures.requests > 1:
            sums = thread.figures
            words = [count(sums.requests, "request"), tokens(sums), cost(sums)]
            yield from self.pen.flow([Part(word, DIM) for word in words], hanging, hanging)

    def _rest(self, lines: list[str], indent: str, room: int, thread_id: str) -> Iterator[str]:
        """That there is more of a prompt, and where a search's words are in it."""
        whole = "\n".join(lines)
        if self.pen.matches(whole):
            yield indent + self.pen.gist(whole, room, BOLD)
        more = f"({count(len(lines), 'more line')}: aigw show {thread_id[:SHORT_ID]})"
        yield indent + self.pen.painted(more, DIM)

    def _step(self, step: Step, indent: str, thread: Thread, depth: int) -> Iterator[str]:
        share = step.context_share
        timing = "" if step.duration_ms is None else span(step.duration_ms / 1000)
        if step.time_to_first_byte_ms is not None:
            timing += f", first byte {span(step.time_to_first_byte_ms / 1000)}"
        thoughts = (
            "" if self.thoughts or not step.thoughts else count(len(step.thoughts), "thought")
        )
        parts = [
            _status(step),
            Part(f"again, after {step.retry_of[:SHORT_ID]}" if step.retry_of else "", YELLOW),
            Part(step.model or "no model", CYAN),
            Part(tokens(step) if step.ended_at is not None else ""),
            Part(step_cost(step)),
            Part(timing),
            Part("" if share is None else f"context {share:.0%}"),
            Part(thoughts),
            Part(step.id[:SHORT_ID], DIM),
        ]
        sign, time = self.pen.painted("#", CYAN), self.pen.painted(clock_time(step.started_at), DIM)
        hanging = indent + " " * 11
        lines = self.pen.flow([part for part in parts if part.text], hanging, hanging)
        yield f"{indent}{sign} {time} {lines[0][len(hanging) :]}"
        yield from lines[1:]
        inner = indent + "  "
        if step.prompt and step is not thread.steps[0]:
            yield f"{inner}{self.pen.painted('?', GREEN)} " + self.pen.gist(
                step.prompt, self.pen.width - len(inner) - 2
            )
        for result in step.other_results:
            yield from self._other_result(result, inner)
        if self.thoughts:
            for thought in step.thoughts:
                yield f"{inner}{self.pen.painted('~ ' + (thought.source or 'thought'), DIM)}"
                yield from self.pen.block(thought.content, inner + "  ", DIM)
        for call in step.calls:
            yield from self._call(step, call, inner, depth)

    def _call(self, step: Step, call: Call, indent: str, depth: int) -> Iterator[str]:
        result = call.result
        code = RED if result is not None and result.is_error else YELLOW if result is None else DIM
        name = call.tool + (" (injected)" if call.injected else "")
        if call.server_url:
            name += f" at {call.server_url}"
        sign = f"{indent}{self.pen.painted('$', MAGENTA)} "
        room = self.pen.width - len(indent) - 2
        if self.tools:
            yield sign + self.pen.gist(name, room, MAGENTA)
            yield from self.pen.block(_pretty(call.input), indent + "    ")
            if call.invocation_error:
                yield f"{indent}  " + self.pen.painted(f"failed: {call.invocation_error}", RED)
            yield f"{indent}  " + self.pen.painted(f"=> {outcome(result)}", code)
            if result is not None and result.content:
                yield from self.pen.block(result.content, indent + "    ")
        else:
            yield sign + self._in_a_line(call, name, room, code)
        origin = Origin(step.id, call.tool_call_id)
        for child in self._children.get(origin, []):
            yield from self._child(child, indent + "  ")
        for thread in self._below.get(origin, []):
            yield from self._thread(thread, depth + 1)

    def _in_a_line(self, call: Call, name: str, room: int, code: str) -> str:
        """The tool's name, the gist of its arguments, and of the result."""
        pen = self.pen
        name_room = pen.measured(name, room // 3)
        left = room - name_room - 3
        end, content = f"=> {outcome(call.result)}", ""
        if call.invocation_error:
            end = f"=> failed: {call.invocation_error}"
        elif call.result is not None and call.result.content.strip():
            end, content = f"{end}: ", call.result.content
        text = arguments(call.input)
        end_room = pen.measured(end, left)
        whole = end_room + (1 + pen.measured(content, left) if content else 0)
        # Each may have the room that the other leaves.
        text_room = max(left - whole, min(pen.measured(text, left), int(left * _CALL_SHARE)))
        content_room = left - text_room - end_room
        return (
            f"{pen.gist(name, name_room, MAGENTA)} {pen.gist(text, text_room)}"
            f"  {pen.gist(end, min(end_room, left - text_room), code)}"
            f"{' ' if content else ''}{pen.gist(content, content_room - 1, code)}"
        ).rstrip()

    def _other_result(self, result: CallResult, indent: str) -> Iterator[str]:
        code = RED if result.is_error else DIM
        text = f"=> {outcome(result)}, of a call that is not recorded ({result.tool_call_id})"
        if not self.tools:
            text += f": {result.content[: 8 * self.pen.width]}"
            yield indent + self.pen.gist(text, self.pen.width - len(indent), code)
            return
        yield indent + self.pen.painted(text, code)
        yield from self.pen.block(result.content, indent + "    ")

    def _child(self, child: Child, indent: str) -> Iterator[str]:
        sums = child.figures
        words = [
            Part(f"session {child.row.id}", BOLD),
            Part(count(sums.requests, "request")),
            Part(tokens(sums)),
            Part(cost(sums)),
        ]
        if sums.errors:
            words.append(Part(f"{sums.errors:,} failed", RED))
        yield from self.pen.flow(words, f"{indent}> ", f"{indent}  ")


def _status(step: Step) -> Part:
    """How a step ended, where that is worth a word."""
    if step.status == "completed":
        return Part("")
    if step.status is None:
        return Part("running", YELLOW)
    code = "" if step.status_code is None else f" {step.status_code}"
    why = ": ".join(part for part in (step.error_type, step.error_message) if part)
    text = f"{step.status}{code}" + (f", {why}" if why else "")
    return Part(text, RED if step.status == "failed" else YELLOW)


def _moment(at: int, start: int) -> str:
    """A time of day, with the date where that is not the start's."""
    day, time = clock_time(at, day=True).split(" ")
    return time if clock_time(start, day=True).startswith(day) else f"{day} {time}"


def _pretty(text: str) -> str:
    """JSON arguments indented, their texts' line breaks as they are; anything else as it is."""
    import json

    if (words := free_form(text)) is not None:
        return words
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict) or not found:
        return text
    return "\n".join(
        f"{name}: {value}"
        if isinstance(value, str)
        else f"{name}: {json.dumps(value, indent=2, ensure_ascii=False)}"
        for name, value in found.items()
    )
