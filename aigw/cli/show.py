"""`aigw show ID`: one interception, everything about it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigw.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOLD = "1"
_DIM = "2"


def show(
    interception_id: Annotated[
        str, typer.Argument(metavar="ID", help="An interception's id, or the start of it.")
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> None:
    """Show everything about one interception, its prompts, tools and thoughts in full."""
    from aigw.cli.database_place import database_place
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.store.interceptions import read_whole

    try:
        found = read_whole(database_place(db, os.environ), interception_id)
    except ValueError as error:
        raise StoreError(str(error)) from error
    prepare_stdout()
    if json:
        print_json(found)
        return
    for line in _report(found):
        sys.stdout.write(f"{line}\n")


def _report(found: dict[str, Any]) -> Iterator[str]:
    from aigw.cli.text import free_form

    yield from _facts(found)
    for item in found["user_prompts"]:
        yield from _section("Prompt", item["created_at"], item["prompt"])
    for item in found["tool_results"]:
        kind = "failed " if item["is_error"] else ""
        cut = ", cut" if item["truncated"] else ""
        title = f"Result of {kind}{item['tool_call_id']} ({item['size']:,} bytes{cut})"
        yield from _section(title, item["created_at"], item["content"])
    for item in found["model_thoughts"]:
        source = item["metadata"].get("source", "")
        title = f"Thought ({source})" if source else "Thought"
        yield from _section(title, item["created_at"], item["content"])
    for item in found["tool_usages"]:
        title = f"Tool {item['tool']} ({item['tool_call_id']})"
        text = free_form(item["input"]) or item["input"]
        if item["invocation_error"]:
            text += f"\nfailed: {item['invocation_error']}"
        yield from _section(title, item["created_at"], text)
    for item in found["token_usages"]:
        yield from _section("Tokens", item["created_at"], _tokens(item))


def _facts(found: dict[str, Any]) -> Iterator[str]:
    from aigw.cli.text import visible

    took = "" if found["duration_ms"] is None else f", {found['duration_ms']:,} ms"
    first = found["time_to_first_byte_ms"]
    took += "" if first is None else f", first byte after {first:,} ms"
    code = "" if found["status_code"] is None else f" {found['status_code']}"
    error = ": ".join(part for part in (found["error_type"], found["error_message"]) if part)
    credential = " ".join(
        part for part in (found["credential_kind"], found["credential_hint"]) if part
    )
    facts = {
        "interception": found["id"],
        "status": f"{found['status'] or 'running'}{code}{took}",
        "error": error,
        "started": found["started_at"],
        "ended": found["ended_at"],
        "initiator": found["initiator"]["username"],
        "client": found["client"],
        "session": found["session_id"] or found["client_session_id"],
        "thread": None if found["thread_root_id"] == found["id"] else found["thread_root_id"],
        "goes on from": found["thread_parent_id"],
        "agent": found["agent_id"],
        "provider": f"{found['provider_name']} {found['route']}",
        "model": found["model"],
        "requested model": found["requested_model"],
        "model rule": found["model_rule"],
        "streaming": {True: "yes", False: "no"}.get(found["streaming"]),
        "credential": credential,
        "attempts": found["attempts"] if (found["attempts"] or 0) > 1 else None,
        "served by": found["served_hint"],
        **{str(key): value for key, value in found["metadata"].items()},
    }
    for name, value in facts.items():
        if value not in (None, ""):
            yield f"{_styled(f'{visible(name):<15}', _DIM)} {visible(str(value))}"


def _section(title: str, time: str, text: str) -> Iterator[str]:
    from aigw.cli.text import visible, visible_lines

    yield ""
    yield f"{_styled(visible(title), _BOLD)}  {_styled(time, _DIM)}"
    for line in visible_lines(text):
        yield f"  {line}"


def _tokens(item: dict[str, Any]) -> str:
    names = (
        "input_tokens",
        "cache_read_input_tokens",
        "cache_write_input_tokens",
        "output_tokens",
    )
    from aigw.cli.record_lines import cost_text

    figures = {name.removesuffix("_tokens"): item[name] for name in names} | item["metadata"]
    figures["cost"] = cost_text(item["cost_micros"], item["cost_basis"])
    if item["price_source"]:
        figures["price from"] = item["price_source"]
    return "\n".join(f"{name}: {value}" for name, value in figures.items())


def _styled(text: str, code: str) -> str:
    from aigw.cli.messages import paint

    return paint(text, code, sys.stdout)
