"""The exchanges that a provider once really had, read from outside the repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from aigw.wire.apis import Api, read_request

from .exchange import cut, read_answer

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = Path(os.environ.get("AIGW_FIXTURES", REPOSITORY.parent / "shared" / "fixtures"))

STREAM = ("streaming", "text/event-stream")
DOCUMENT = ("non-streaming", "application/json")
ANGELS = "how many angels can dance on the head of a pin\n"
README = {"tool": "read_file", "input": '{"path":"README.md"}'}


def usage(given: int, output: int, read: int = 0, write: int = 0) -> dict[str, int]:
    return {"input": given, "output": output, "read": read, "write": write}


Expected: TypeAlias = tuple[
    str, tuple[str, str], str, str, dict[str, int] | None, dict[str, str] | None
]
EXPECTED: list[Expected] = [
    ("anthropic/simple", STREAM, ANGELS, "completed", usage(18, 240), None),
    ("anthropic/simple", DOCUMENT, ANGELS, "completed", usage(18, 254), None),
    (
        "anthropic/single_builtin_tool", STREAM, "read the foo file", "completed",
        usage(2, 61, 13993, 22), {"tool": "Read", "input": '{"file_path": "/tmp/blah/foo"}'},
    ),
    (
        "anthropic/single_builtin_tool", DOCUMENT, "read the foo file", "completed",
        usage(5, 84, 23490), {"tool": "Read", "input": '{"file_path":"/tmp/blah/foo"}'},
    ),
    ("anthropic/stream_error", STREAM, "yo", "failed", usage(18, 1), None),
    ("openai/chatcompletions/simple", STREAM, ANGELS, "completed", usage(19, 238), None),
    ("openai/chatcompletions/simple", DOCUMENT, ANGELS, "completed", usage(19, 200), None),
    (
        "openai/chatcompletions/single_builtin_tool", STREAM,
        "how large is the README.md file in my current path", "completed", usage(60, 15), README,
    ),
    (
        "openai/chatcompletions/single_builtin_tool", DOCUMENT,
        "how large is the README.md file in my current path", "completed", usage(60, 15), README,
    ),
    (
        "openai/responses/blocking/cached_input_tokens", DOCUMENT, "This was a large input...",
        "completed", usage(129, 44, 11904), None,
    ),
    ("openai/responses/blocking/simple", DOCUMENT, "tell me a joke", "completed", usage(11, 18), None),
    (
        "openai/responses/streaming/custom_tool", STREAM,
        "Use the code_exec tool to print hello world to the console.", "completed", usage(64, 340),
        {"tool": "code_exec", "input": '"print(\\"hello world\\")"'},
    ),
    ("openai/responses/streaming/simple", STREAM, "tell me a joke", "completed", usage(11, 18), None),
    ("openai/responses/streaming/stream_failure", STREAM, "hello_stream_failure", "failed", None, None),
]  # fmt: skip


def sections(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("-- ") and line.rstrip().endswith(" --"):
            name = line.strip().strip("- ")
            found[name] = ""
        elif name:
            found[name] += line
    return found


def api_of(name: str) -> Api:
    if name.startswith("anthropic"):
        return Api.MESSAGES
    return Api.CHAT_COMPLETIONS if "chatcompletions" in name else Api.RESPONSES


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no captured exchanges in {FIXTURES.name}/")
@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: f"{e[0]}-{e[1][0]}")
def test_captured_exchange(expected: Expected) -> None:
    name, kind, prompt, status, tokens, call = expected
    found = sections(FIXTURES / f"{name}.txtar")
    assert read_request(api_of(name), found["request"].encode()).prompt == prompt
    answer = found[kind[0]].encode()
    whole = read_answer(api_of(name), [answer], content_type=kind[1])
    assert read_answer(api_of(name), cut(answer, range(0, 9999, 37)), content_type=kind[1]) == whole
    assert whole["outcome"]["status"] == status
    assert whole["ended"] is (kind is STREAM)
    by_type: dict[str, list[dict[str, Any]]] = {}
    for fact in whole["facts"]:
        ((type_name, fields),) = fact.items()
        by_type.setdefault(type_name, []).append(fields)
    calls = by_type.get("ToolCallFact", [])
    assert [{"tool": c["tool"], "input": c["input"]} for c in calls] == ([call] if call else [])
    assert all(c["tool_call_id"] for c in calls)
    counted = by_type.get("UsageFact", [])
    if not tokens:
        # A stream that broke off may have a floor; what the provider counted is nothing.
        assert all(u["is_estimate"] for u in counted)
        counted = []
    assert [
        usage(
            u["input_tokens"],
            u["output_tokens"],
            u.get("cache_read_input_tokens", 0),
            u.get("cache_write_input_tokens", 0),
        )
        for u in counted
    ] == ([tokens] if tokens else [])
    thinks = name.startswith("anthropic/s") and "error" not in name
    assert ("ThoughtFact" in by_type) is thinks


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no captured exchanges in {FIXTURES.name}/")
def test_none_is_left_out() -> None:
    present = {
        str(p.relative_to(FIXTURES).with_suffix("").as_posix()) for p in FIXTURES.rglob("*.txtar")
    }
    assert present == {name for name, *_ in EXPECTED}
