"""Interceptions of a coding agent's session, written one by one as they would happen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aigw.records import ModelThought, PromptUsage, Record, Status, ToolResult, ToolUsage
from tests.store.rows import NOON, SECOND, end, start

if TYPE_CHECKING:
    from tests.store.rows import Store


class Conversation:
    """Each step is a whole interception, a second after the one before. `say` returns its id."""

    def __init__(self, store: Store, session: str | None = "session-1", **fields: Any) -> None:
        self.store = store
        self.at = NOON
        self._count = 0
        self._fields = {"client_session_id": session, **fields}

    def say(
        self,
        prompt: str | None = None,
        *,
        calls: dict[str, dict[str, Any]] | None = None,
        results: dict[str, str] | None = None,
        errors: frozenset[str] = frozenset(),
        thought: str | None = None,
        status: Status = Status.COMPLETED,
        running: bool = False,
        figures: dict[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Ask with a prompt or with results by call id; the answer makes calls by id (`Bash` unless
        an argument `tool` says otherwise)."""
        self._count += 1
        self.at += SECOND
        key = f"{self._fields['client_session_id'] or 'x'}-{self._count:04d}"
        results = results or {}
        given = {
            **self._fields,
            "correlating_tool_call_id": next(reversed(results), None),
            **fields,
        }
        records: list[Record] = [start(key, self.at, **given)]
        if prompt is not None:
            records.append(
                PromptUsage(
                    interception_id=key, created_at=self.at, id=f"p{key}", msg_id="m", prompt=prompt
                )
            )
        records += [
            self._result(key, call_id, text, is_error=call_id in errors)
            for call_id, text in results.items()
        ]
        if thought is not None:
            records.append(self._thought(key, thought))
        records += [
            self._call(key, call_id, dict(given)) for call_id, given in (calls or {}).items()
        ]
        if not running:
            ended = self.at + SECOND // 2
            records.append(end(key, ended, status=status, **(figures or {})))
        self.store.write(*records)
        return key

    def _thought(self, key: str, text: str) -> ModelThought:
        return ModelThought(
            interception_id=key,
            created_at=self.at,
            id=f"t{key}",
            content=text,
            metadata={"source": "thinking"},
        )

    def _call(self, key: str, call_id: str, arguments: dict[str, Any]) -> ToolUsage:
        tool = arguments.pop("tool", "Bash")
        return ToolUsage(
            interception_id=key,
            created_at=self.at,
            id=f"u{key}{call_id}",
            msg_id="m",
            tool_call_id=call_id,
            tool=tool,
            input=json.dumps(arguments),
        )

    def _result(self, key: str, call_id: str, text: str, *, is_error: bool) -> ToolResult:
        return ToolResult(
            interception_id=key,
            created_at=self.at,
            id=f"r{key}{call_id}",
            tool_call_id=call_id,
            is_error=is_error,
            size=len(text.encode()),
            content=text,
        )
