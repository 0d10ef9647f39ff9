"""Tools that the provider runs itself and charges by the call, as requests ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aigw.wire.lenient import Shape, bound_of

if TYPE_CHECKING:
    from collections.abc import Sequence

TOOLS_LIMIT = 4096
"""Tools that are looked at: OpenAI's API takes 128, and agents with many servers have some hundreds."""


class _Tool(msgspec.Struct, gc=False):
    type: Any = None
    max_uses: Any = None


_TOOL = Shape(_Tool)

_CHARGED = {
    "web_search_preview": "web_search_preview_requests",
    "web_search": "web_search_requests",
    "file_search": "file_search_requests",
    "code_interpreter": "code_interpreter_calls",
    "image_generation": "image_generation_calls",
}
"""How the types of such tools begin, which may end in a date, and the names under which their calls are
counted in a usage. The first that fits counts. A shell is charged only where a container is, which a
request may leave to a default."""


def charged_calls(
    tools: Sequence[msgspec.Raw] | None, most: int | None = None
) -> dict[str, int | None]:
    """The most calls that a request allows of each such tool; None where it sets no bound.

    Args:
        tools: of the request, each as JSON.
        most: its bound for all of them together.
    """
    found: dict[str, int | None] = {}
    for raw in (tools or ())[:TOOLS_LIMIT]:
        tool = _TOOL.read(raw)
        if tool is None or not isinstance(tool.type, str):
            continue
        kind = tool.type
        name = next((name for begin, name in _CHARGED.items() if kind.startswith(begin)), None)
        if name is not None:
            bounds = [each for each in (bound_of(tool.max_uses), most) if each is not None]
            found[name] = min(bounds, default=None)
    return found
