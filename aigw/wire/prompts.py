"""What the client sent since the model's last turn: tool results, and the words of the user.

The rules are shared by the three APIs; each only says which of its messages is what.
"""

from __future__ import annotations

import re
from typing import Any

from aigw.wire.facts import ToolResultFact
from aigw.wire.lenient import clean, dict_of, json_text, text_of

RESULT_LIMIT = 16 * 1024
"""Bytes of a tool result that are kept. A file or a build log can be megabytes, and the client
sends it again with every following request; its beginning is what an auditor reads."""

TURN_LIMIT = 256
"""Messages looked at from the end of a request: more parallel tool results than any agent sends."""

CLIENT_MARKUP = frozenset(
    {
        # Claude Code
        "system-reminder",
        "local-command-caveat",
        "local-command-stdout",
        "local-command-stderr",
        "bash-stdout",
        "bash-stderr",
        "ide_opened_file",
        "ide_selection",
        "ide_diagnostics",
        "new-diagnostics",
        "task-notification",
        "user-prompt-submit-hook",
        "post-tool-use-hook",
        # Codex
        "environment_context",
        "permissions",
        "turn_aborted",
        # Cline, Roo Code, Copilot and others
        "environment_details",
        "current_datetime",
        "reminder",
        "reminderinstructions",
        "system_reminder",
        "system_notification",
        "editorcontext",
        "file_diagnostics",
    }
)
"""Tags (in lower case) that clients write on their own. One that may wrap the user's own words
(`<command-args>`, `<feedback>`, `<userRequest>`) is not here: better a prompt too many."""

_OPENING = re.compile(r"\s*<([A-Za-z][\w-]*)(?:\s[^<>]*)?>")


class NewInput:
    """Collects a request's last messages, read from its end back to the model's last turn."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._results: list[ToolResultFact] = []

    def add_texts(self, texts: list[str]) -> None:
        """A user message's texts, in order. Those before a tool result are no longer new."""
        if not self._results:
            self._texts[:0] = texts

    def add_result(self, result: ToolResultFact) -> None:
        """A tool result; the messages are read backwards, so the latest comes first."""
        self._results.append(result)

    def tool_results(self) -> list[ToolResultFact]:
        """The results in the order they were sent."""
        return self._results[::-1]

    def correlating_tool_call_id(self) -> str | None:
        """The id of the last tool result that has one."""
        return next((r.tool_call_id for r in self._results if r.tool_call_id), None)

    def prompt(self) -> str | None:
        """The last text that is not only client-made markup.

        Where all of it is markup: the last text as sent, but after tool results none at all.
        """
        texts = [text for text in self._texts if text]
        for text in reversed(texts):
            if not only_markup(text):
                return clean(text)
        return clean(texts[-1]) if texts and not self._results else None


def only_markup(text: str) -> bool:
    """Whether the text is nothing but whole `CLIENT_MARKUP` tags and white space."""
    return not text[_end_of_markup(text) :].strip()


def after_markup(text: str) -> str:
    """The text from where the client's own markup at its beginning ends; all of it where nothing follows."""
    rest = text[_end_of_markup(text) :]
    return rest if rest.strip() else text


def _end_of_markup(text: str) -> int:
    """Where the whole `CLIENT_MARKUP` tags end that a text begins with."""
    position = 0
    while opening := _OPENING.match(text, position):
        name = opening[1]
        end = text.find(f"</{name}>", opening.end()) if name.lower() in CLIENT_MARKUP else -1
        if end < 0:
            break
        position = end + len(name) + 3
    return position


def tool_result(call_id: Any, content: Any, *, is_error: bool = False) -> ToolResultFact:
    """A fact of what a tool returned, cut to `RESULT_LIMIT` bytes on a character boundary."""
    text = clean(content_text(content))
    encoded = text.encode()
    size = len(encoded)
    truncated = size > RESULT_LIMIT
    if truncated:
        text = encoded[:RESULT_LIMIT].decode("utf-8", "ignore")
    return ToolResultFact(text_of(call_id), text, size, is_error, truncated)


def content_text(content: Any) -> str:
    """A tool result's content as text: parts joined by newlines, `[image]` for what is no text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part_text(part) for part in content)
    return "" if content is None else json_text(content)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    block = dict_of(part)
    text = block.get("text")
    if isinstance(text, str):
        return text
    kind = block.get("type")
    if isinstance(kind, str) and kind:
        return f"[{kind.removeprefix('input_').removesuffix('_url')[:64]}]"
    return json_text(part)


def block_texts(content: Any, kinds: tuple[str, ...]) -> list[str]:
    """The texts of a message's content: itself, or those of its parts of these types."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    parts = (part for part in content if isinstance(part, dict) and part.get("type") in kinds)
    return [part["text"] for part in parts if isinstance(part.get("text"), str)]
