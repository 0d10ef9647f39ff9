"""Which words of a request are the user's, and what counts as a tool's result, by API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aigw.wire.apis import Api, read_request
from aigw.wire.prompts import CLIENT_MARKUP, RESULT_LIMIT, after_markup, only_markup

if TYPE_CHECKING:
    from aigw.wire.facts import RequestFacts

REMINDER = "<system-reminder>\nDo <b>not</b> mention this.\n</system-reminder>\n"
ASSISTANT = {"role": "assistant", "content": "x"}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "r"}
OUTPUT = {"type": "function_call_output", "call_id": "t1", "output": "r"}
TOOL = {"role": "tool", "tool_call_id": "t1", "content": "r"}


def text(words: Any) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def said(words: Any) -> dict[str, Any]:
    return {"role": "user", "content": words}


def facts(api: Api, last: list[Any]) -> RequestFacts:
    key = "input" if api is Api.RESPONSES else "messages"
    return read_request(api, json.dumps({"model": "m", key: last}).encode())


def agent_message(kind: str, *payload: Any) -> dict[str, Any]:
    """What an agent of Codex' sends another, as the other's request brings it."""
    head = f"Message Type: {kind}\nTask name: /root/callers\nSender: /root\nPayload:\n"
    content = [{"type": "input_text", "text": head}, *payload]
    return {"type": "agent_message", "author": "/root", "recipient": "x", "content": content}


def sealed(words: Any) -> dict[str, Any]:
    return {"type": "encrypted_content", "encrypted_content": words}


ENVIRONMENT = said("<environment_context>\n  <cwd>/home</cwd>\n</environment_context>")
MESSAGES = [
    ([said("hello ")], "hello "),
    ([said("")], None),
    ([said(None)], None),
    ([said(7)], None),
    ([], None),
    (["hello"], None),
    ([said("a"), ASSISTANT], None),
    ([said("a"), ASSISTANT, said("b")], "b"),
    ([user(text("a"), text("b"))], "b"),
    ([user(text("a"), text(""))], "a"),
    ([user(text(REMINDER), text("b"))], "b"),
    ([user(text("a"), text(REMINDER))], "a"),
    ([user(text("a"), text(3))], "a"),
    ([user({"type": "image"})], None),
    ([user({"text": "no type"})], None),
    ([said(REMINDER)], REMINDER),
    ([user(text(REMINDER), text(REMINDER + "x"))], REMINDER + "x"),
    ([user(RESULT)], None),
    ([user(RESULT, text(REMINDER))], None),
    ([user(RESULT, text(REMINDER + " " + REMINDER))], None),
    ([user(RESULT, text("  \n"))], None),
    ([user(RESULT, text("b"))], "b"),
    ([user(RESULT, text("b"), text(REMINDER))], "b"),
    ([user(RESULT, text("<p>mine</p>"))], "<p>mine</p>"),
    ([user(text("before"), RESULT)], None),
    ([user(RESULT), said("b")], "b"),
    ([user(RESULT), said(REMINDER)], None),
    ([said("b"), {"role": "system", "content": REMINDER}], "b"),
]
CHAT = [
    ([said("hello ")], "hello "),
    ([said("")], None),
    ([user(text("a"), text("b"))], "b"),
    ([user(text("a"), {"type": "image_url"})], "a"),
    ([said("a"), ASSISTANT], None),
    ([said("a"), ASSISTANT, TOOL], None),
    ([ASSISTANT, TOOL, said("b")], "b"),
    ([ASSISTANT, TOOL, said(REMINDER)], None),
    ([ASSISTANT, said("a"), TOOL], None),
    ([ASSISTANT, TOOL, said("b"), said(REMINDER)], "b"),
    ([said("b"), ASSISTANT, TOOL, said(REMINDER)], None),
    ([ASSISTANT, said("b"), {"role": "developer", "content": "x"}], "b"),
    ([said(REMINDER)], REMINDER),
]
RESPONSES = [
    ([said("hello ")], "hello "),
    ([said("a"), said("b")], "b"),
    ([said("a"), said(REMINDER)], "a"),
    ([{"type": "message", **said("a")}], "a"),
    ([{"type": "other", **said("a")}], None),
    ([user({"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"})], "a\nb"),
    ([user({"type": "input_image"})], None),
    ([said("a"), {"type": "message", **ASSISTANT}], None),
    ([said("a"), {"type": "reasoning"}, OUTPUT], None),
    ([said("a"), {"type": "function_call", "call_id": "t1"}, OUTPUT, said("b")], "b"),
    ([{"type": "function_call"}, OUTPUT, said(REMINDER)], None),
    ([{"type": "item_reference", "id": "x"}, said("b")], "b"),
    ([said("a"), {"type": "item_reference", "id": "x"}], None),
    # Codex' sub-agents are given their task by their parent, not by a user.
    ([ENVIRONMENT, agent_message("NEW_TASK", sealed("gAAAA"))], "gAAAA"),
    ([agent_message("NEW_TASK", {"type": "input_text", "text": "look"})], "look"),
    ([agent_message("NEW_TASK", sealed(7), None)], None),
    ([said("a"), {"type": "reasoning"}, OUTPUT, agent_message("FINAL_ANSWER", sealed("b"))], None),
    ([said("a"), agent_message("MESSAGE", sealed("Message Type: NEW_TASK\nPayload:\nb"))], "a"),
    ([said("a"), {"type": "agent_message", "content": "b"}, {"type": "agent_message"}], "a"),
]
CASES = [
    *((Api.MESSAGES, *case) for case in MESSAGES),
    *((Api.CHAT_COMPLETIONS, *case) for case in CHAT),
    *((Api.RESPONSES, *case) for case in RESPONSES),
]


@pytest.mark.parametrize(("api", "last", "prompt"), CASES)
def test_prompt(api: Api, last: list[Any], prompt: str | None) -> None:
    assert facts(api, last).prompt == prompt


def test_what_a_forked_agent_inherits_is_not_new() -> None:
    history = [said("a"), {"type": "function_call", "call_id": "t1"}, OUTPUT]
    forked = {"type": "message", "role": "developer", "content": "You are now a new agent."}
    task = agent_message("NEW_TASK", sealed("look"))
    found = facts(Api.RESPONSES, [*history, forked, task])
    assert (found.prompt, found.tool_results, found.correlating_tool_call_id) == ("look", [], None)
    # An agent that is at work is given more to do beside the result that it waited for.
    found = facts(Api.RESPONSES, [*history, task])
    assert (found.prompt, found.correlating_tool_call_id) == ("look", "t1")


def test_responses_input_may_be_a_string() -> None:
    assert read_request(Api.RESPONSES, b'{"input":" a "}').prompt == " a "
    assert read_request(Api.RESPONSES, b'{"input":""}').prompt is None


@pytest.mark.parametrize(
    ("api", "last", "ids"),
    [
        (Api.MESSAGES, [user(RESULT, {**RESULT, "tool_use_id": "t2"})], ["t1", "t2"]),
        (Api.MESSAGES, [user(RESULT), ASSISTANT, user({**RESULT, "tool_use_id": ""})], [""]),
        (Api.MESSAGES, [user(RESULT), user({**RESULT, "tool_use_id": 5})], ["t1", ""]),
        (Api.MESSAGES, [user(RESULT), ASSISTANT], []),
        (
            Api.CHAT_COMPLETIONS,
            [TOOL, ASSISTANT, TOOL, {**TOOL, "tool_call_id": "t2"}],
            ["t1", "t2"],
        ),
        (
            Api.CHAT_COMPLETIONS,
            [ASSISTANT, {"role": "function", "name": "f", "content": "r"}],
            [""],
        ),
        (
            Api.RESPONSES,
            [OUTPUT, {"type": "custom_tool_call"}, {**OUTPUT, "call_id": "t2"}],
            ["t2"],
        ),
        (
            Api.RESPONSES,
            [{"type": "custom_tool_call_output", "call_id": "t3", "output": ""}],
            ["t3"],
        ),
        (Api.RESPONSES, [{"type": "local_shell_call_output", "id": "l1", "output": ""}], ["l1"]),
        (Api.RESPONSES, [{"type": "tool_search_output", "call_id": "s1", "tools": []}], ["s1"]),
    ],
)
def test_results_are_those_of_this_turn(api: Api, last: list[Any], ids: list[str]) -> None:
    found = facts(api, last)
    assert [result.tool_call_id for result in found.tool_results] == ids
    assert found.correlating_tool_call_id == next((i for i in reversed(ids) if i), None)


@pytest.mark.parametrize(
    ("output", "content", "is_error"),
    [
        ("plain", "plain", False),
        ({"content": "c", "success": False}, "c", True),
        ({"content": "c", "success": True}, "c", False),
        (
            '{"output":"o","metadata":{"exit_code":0}}',
            '{"output":"o","metadata":{"exit_code":0}}',
            False,
        ),
        (
            '{"output":"o","metadata":{"exit_code":2}}',
            '{"output":"o","metadata":{"exit_code":2}}',
            True,
        ),
        ('{"exit_code', '{"exit_code', False),
        (None, "", False),
        (5, "5", False),
        ([{"type": "computer_screenshot"}], "[computer_screenshot]", False),
        ({"a": [1, "ä"]}, '{"a":[1,"ä"]}', False),
    ],
)
def test_outputs(output: Any, content: str, is_error: bool) -> None:
    (result,) = facts(Api.RESPONSES, [{**OUTPUT, "output": output}]).tool_results
    assert (result.content, result.is_error) == (content, is_error)


@pytest.mark.parametrize("length", [RESULT_LIMIT // 3, RESULT_LIMIT // 3 + 1, 100_000])
def test_large_results_are_cut_between_characters(length: int) -> None:
    (result,) = facts(Api.MESSAGES, [user({**RESULT, "content": "€" * length})]).tool_results
    assert result.size == 3 * length
    assert result.truncated == (3 * length > RESULT_LIMIT)
    assert result.content == "€" * min(length, RESULT_LIMIT // 3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", True),
        (" \n", True),
        (REMINDER, True),
        ('<ide_selection file="x">a</ide_selection>', True),
        (REMINDER + "a", False),
        ("a" + REMINDER, False),
        ("<system-reminder>a", False),
        ("<system-reminder/>", False),
        ("<feedback>do it</feedback>", False),
        ("<SYSTEM-REMINDER>a</SYSTEM-REMINDER>", True),
        ("<system-reminder>" * 20_000, False),
    ],
)
def test_only_markup(words: str, expected: bool) -> None:
    assert only_markup(words) is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fix it", "fix it"),
        (REMINDER + REMINDER + " fix it ", "\n fix it "),
        ("<current_datetime>2026</current_datetime>\n\nfix <b>it</b>", "\n\nfix <b>it</b>"),
        ("<mine>x</mine> fix it", "<mine>x</mine> fix it"),
        ("fix it " + REMINDER, "fix it " + REMINDER),
        (REMINDER, REMINDER),
    ],
)
def test_what_follows_markup_at_the_beginning(words: str, expected: str) -> None:
    assert after_markup(words) == expected


def test_the_tags_are_in_lower_case() -> None:
    assert all(tag == tag.lower() for tag in CLIENT_MARKUP)
