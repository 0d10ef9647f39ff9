"""Tools of the provider's that cost by the call, in requests of both APIs that have them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aigw.wire.apis import Api, read_request

WEB, FILES, CODE = "web_search_requests", "file_search_requests", "code_interpreter_calls"


def calls(api: Api, **fields: Any) -> dict[str, int | None]:
    return read_request(api, json.dumps({"model": "m", **fields}).encode()).server_tools()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"tools": None}, {}),
        ({"tools": "x"}, {}),
        ({"tools": [None, 5, {}, {"type": 5}, {"type": "function", "name": "web_search"}]}, {}),
        ({"tools": [{"type": "web_search"}]}, {WEB: None}),
        # The older tool has a price of its own, and an image nobody knows the price of.
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, {"web_search_preview_requests": None}),
        ({"tools": [{"type": "image_generation", "quality": "low"}]}, {"image_generation_calls": None}),
        ({"tools": [{"type": "web_search"}], "max_tool_calls": 3}, {WEB: 3}),
        ({"tools": [{"type": "web_search"}], "max_tool_calls": "3"}, {WEB: None}),
        ({"tools": [5, {"type": "file_search"}, {"type": "code_interpreter"}]}, {FILES: None, CODE: None}),
    ],
)  # fmt: skip
def test_responses(fields: dict[str, Any], expected: dict[str, int | None]) -> None:
    assert calls(Api.RESPONSES, **fields) == expected


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ({"type": "web_search_20250305", "max_uses": 5}, {WEB: 5}),
        ({"type": "web_search_20260209", "max_uses": 0}, {WEB: 0}),
        ({"type": "web_search_20250305", "max_uses": -1}, {WEB: None}),
        ({"type": "web_search_20250305"}, {WEB: None}),
        ({"type": "web_fetch_20250910", "max_uses": 5}, {}),
        ({"name": "web_search", "input_schema": {"type": "object"}}, {}),
    ],
)
def test_messages(tool: dict[str, Any], expected: dict[str, int | None]) -> None:
    assert calls(Api.MESSAGES, tools=[tool]) == expected
    assert calls(Api.INVOKE, anthropic_version="x", tools=[tool]) == expected


def test_an_earlier_response_and_a_conversation_are_named() -> None:
    for name, value, expected in (
        ("previous_response_id", "resp_1", "resp_1"),
        ("previous_response_id", None, ""),
        ("previous_response_id", 5, ""),
        ("conversation", "conv_1", "conv_1"),
        ("conversation", {"id": "conv_1"}, "conv_1"),
    ):
        data = json.dumps({"model": "m", "input": "hi", name: value}).encode()
        assert read_request(Api.RESPONSES, data).continues == expected
