"""The one edit of a body: asking for the usage of a streaming chat completion.

OpenAI sends the token counts of a chat stream only if the request has
`stream_options.include_usage`; then one more chunk comes before `[DONE]`, and the others carry a
null `usage`. Where the client did not ask, the gateway does, and keeps both from the client.
"""

from __future__ import annotations

import aiohttp
from multidict import CIMultiDict

from aigw.gateway.body import read_aside
from aigw.wire.content_coding import Decoder, decoder
from aigw.wire.splice import ask_for_usage
from aigw.wire.usage_chunk import UsageChunkFilter

_STREAM_LIMIT = 64 * 1024 * 1024
"""Decompressed bytes of an edited stream: far beyond any answer, within any machine's memory."""


class UnreadableAnswerError(aiohttp.ClientError):
    """A compressed answer that has to be edited cannot be read: for the relay it has broken off."""


class ChatUsageEdit:
    """The edit of one exchange: `apply` to the request, then `begin`, `feed`, `finish` on the answer."""

    def __init__(self) -> None:
        self._filter: UsageChunkFilter | None = None
        self._decoder: Decoder | None = None

    @staticmethod
    async def apply(plain: bytes, headers: CIMultiDict[str]) -> bytes | None:
        """The body with the request for usage, or None when it is not safe to change it.

        `plain` is the decompressed body. A compressed one goes on uncompressed, and the answer is
        asked for without compression: a chunk can only be left out of readable bytes.
        """
        body = await read_aside(ask_for_usage, plain)
        if body is not None:
            headers.popall("Content-Encoding", None)
            if "Accept-Encoding" in headers:
                headers["Accept-Encoding"] = "identity"
        return body

    def begin(self, status: int, content_type: str, content_encoding: str) -> tuple[str, ...]:
        """Prepare for an answer; returns the headers that no longer hold, in lower case.

        An answer that is not an event stream, an error for example, is not touched.
        """
        if status != 200 or not content_type.lower().startswith("text/event-stream"):  # noqa: PLR2004
            return ()
        if content_encoding:
            try:
                self._decoder = decoder(content_encoding, _STREAM_LIMIT)
            except ValueError:
                return ()
        self._filter = UsageChunkFilter()
        return ("content-length", "content-encoding") if content_encoding else ("content-length",)

    def feed(self, data: bytes) -> bytes:
        """What of these bytes the client may see now."""
        if self._filter is None:
            return data
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data)
            except ValueError as error:
                raise UnreadableAnswerError from error
        return self._filter.feed(data)

    def finish(self) -> bytes:
        """What is left for the client at the end of the answer."""
        return self._filter.finish() if self._filter is not None else b""
