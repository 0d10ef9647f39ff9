"""A body as a HAR file holds it: text where it is text, base64 where it is not, cut where it is long."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from aigw.telemetry.har_masks import Masking

TEXT_LIMIT = 16 * 1024 * 1024
"""Bytes of a decompressed body that are shown. A few kilobytes may hold a gigabyte, and browsers'
developer tools stop to respond long before that."""

_UTF8_LONGEST = 4
_BINARY_TYPES = ("application/vnd.amazon.eventstream",)


class Decoder(Protocol):
    """Undoes content codings, as `aigw.wire.content_coding` does."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes; ValueError where the input is corrupt."""

    def finish(self) -> bytes:
        """The end of the input; ValueError where it was cut off."""


MakeDecoder = Callable[[str], Decoder | None]
"""A decoder for a value of `Content-Encoding`: None where nothing is to be undone, ValueError where
a coding is not known."""


@dataclass(slots=True)
class Body:
    """What was kept of a body. `size` counts all bytes on the wire, kept or not."""

    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    is_cut: bool = False


class Shown(NamedTuple):
    """A body as text. `size` is that of the decoded body, None where it is not known."""

    text: str
    is_base64: bool
    size: int | None
    comment: str


def show(
    body: Body, content_type: str, encoding: str, masking: Masking, make: MakeDecoder
) -> Shown:
    """The body's text for a HAR file. Never raises, whatever the body is."""
    data = b"".join(body.chunks)
    notes = []
    if body.is_cut:
        notes.append(f"truncated: the first {len(data)} of {body.size} bytes are kept")
    plain, size, is_cut, note = _decoded(data, body, encoding, make)
    if note:
        notes.append(note)
    is_binary = plain is None or content_type.strip().lower().startswith(_BINARY_TYPES)
    masked = masking.data(data if plain is None else plain, is_cut=is_cut)
    text = None if is_binary else _as_text(masked, is_cut=is_cut)
    if text is None:
        return Shown(base64.b64encode(masked).decode("ascii"), True, size, "; ".join(notes))
    return Shown(text, False, size, "; ".join(notes))


def _decoded(
    data: bytes, body: Body, encoding: str, make: MakeDecoder
) -> tuple[bytes | None, int | None, bool, str]:
    """The data without its codings (None: it keeps them), its whole size, if it is cut, a note."""
    pieces: list[bytes] = []
    room = TEXT_LIMIT
    try:
        undo = make(encoding)
        if undo is None:
            return data, body.size, body.is_cut, ""
        for piece in undo.pieces(data):
            pieces.append(piece[:room])
            room -= len(piece)
            if room < 0:
                note = f"truncated: the first {TEXT_LIMIT} bytes of the decompressed body are kept"
                return b"".join(pieces), None, True, note
    except ValueError as error:
        return None, None, body.is_cut, f"still compressed: {error}"
    plain = b"".join(pieces)
    if body.is_cut:
        return plain, None, True, ""
    try:
        undo.finish()
    except ValueError as error:
        return plain, None, True, str(error)
    return plain, len(plain), False, ""


def _as_text(data: bytes, *, is_cut: bool) -> str | None:
    """UTF-8 without NULs as text; None for anything else. A cut may have split a character."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if not is_cut or error.start <= len(data) - _UTF8_LONGEST:
            return None
        return data[: error.start].decode()
