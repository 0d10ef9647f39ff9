"""What a part of an answer, or a request, came to in tokens at least, where no provider counted.

Estimates err on the low side: nobody is shown a cost that they did not have.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from aigw.wire.content_coding import decoder
from aigw.wire.facts import UsageFact

if TYPE_CHECKING:
    from collections.abc import Mapping

BYTES_PER_TOKEN = 6
"""More than any text has on average: OpenAI's and Anthropic's guides say about 4 characters of English,
code and other languages have fewer (a character of Chinese has 3 bytes, 6 as a JSON escape)."""

TIERS_BELOW = frozenset({"flex", "batch"})
"""Classes of service below the standard one in price. What was asked for stands for what was given
where no answer says that, but not where that would be dearer."""

READ_LIMIT = 8 * 1024 * 1024
"""Bytes that are looked at: a million tokens of English are half of it, and the look, of about two
milliseconds a megabyte, is taken on the event loop."""

# A long run of base64 is an image, a file, a signature or encrypted reasoning, whose tokens have
# nothing to do with its bytes. `\\` is in line ends and slashes as JSON may escape them.
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-\\"
_AS_RUNS = bytes(65 if byte in _LETTERS else 32 for byte in range(256))
_RUN = b"A" * 512


def text_tokens(data: bytes) -> int:
    """The tokens that a JSON text has at least. Runs of base64 are left out."""
    data = data[:READ_LIMIT]
    runs = data.translate(_AS_RUNS)
    length = len(data)
    end = 0
    while (start := runs.find(_RUN, end)) >= 0:
        end = runs.find(b" ", start)
        end = len(data) if end < 0 else end
        length -= end - start
    return length // BYTES_PER_TOKEN


def request_tokens(body: bytes, content_encoding: str) -> int:
    """The tokens that a request has at least; a compressed one is read as far as `READ_LIMIT`."""
    try:
        coding = decoder(content_encoding, READ_LIMIT)
    except ValueError:
        return 0
    if coding is None:
        return text_tokens(body)
    read: list[bytes] = []
    # Longer than is looked at, or not compressed as it says: what came out until then counts.
    with suppress(ValueError):
        for piece in coding.pieces(body):
            read.append(piece)  # noqa: PERF402 (those before an error are wanted)
    return text_tokens(b"".join(read))


def estimate(stated: UsageFact | None, produced: int, extra: Mapping[str, int] = {}) -> UsageFact:
    """The usage of an answer that ended before the provider had counted.

    Args:
        stated: what it had said so far; its input is exact, its output a running figure or less.
        produced: events that came with output, each of which is a token or more.
        extra: further kinds that were counted from the answer.
    """
    usage = stated if stated is not None else UsageFact(0, 0)
    return UsageFact(
        usage.input_tokens,
        max(usage.output_tokens, produced),
        usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
        usage.reasoning_tokens,
        {**usage.extra, **extra},
        usage.service_tier,
        is_estimate=True,
        inference_geo=usage.inference_geo,
        model=usage.model,
        charged_micros=usage.charged_micros,
    )
