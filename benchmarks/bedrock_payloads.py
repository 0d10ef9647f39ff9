"""Streams of Bedrock: the same answer in event-stream frames, and the requests that ask for it."""

from __future__ import annotations

import json
from typing import Final

from benchmarks.payloads import STREAM_BODIES, Workload, encode, stream_events
from tests.simulator.eventstream import chunk

HEADER: Final = "x-amzn-bedrock-bench"
"""Where the words for the simulated provider are: of a client's headers only those that begin like
this go to Bedrock."""

FRAME_END: Final = b'"}'
"""The end of a frame's payload; its checksum follows in the same write."""

_MODEL: Final = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"


def stream_frames(deltas: int) -> list[bytes]:
    """The events of `payloads.stream_events`, each in a frame."""
    # An event is its name, a line end, and its data.
    frames = [chunk(e.partition(b"data: ")[2].strip()) for e in stream_events(deltas)]
    assert all(frame.count(FRAME_END) == 1 for frame in frames), "a frame's end is not unique"
    return frames


def _invoke_body(body: bytes) -> bytes:
    """A Messages request as InvokeModel takes it."""
    fields = json.loads(body)
    del fields["model"], fields["stream"]
    return encode({"anthropic_version": "bedrock-2023-05-31", **fields})


def translated_workload(events: int) -> Workload:
    """Messages streams in lock step through a provider of type bedrock."""
    return Workload(
        "bedrock",
        "/bedrock/v1/messages",
        STREAM_BODIES,
        f"step {events:06d}",
        events=events,
        header=HEADER,
    )


def native_workload(events: int) -> Workload:
    """The same in Bedrock's own API, whose frames are relayed as they are."""
    return Workload(
        "bedrock's own API",
        f"/bedrock/model/{_MODEL}/invoke-with-response-stream",
        tuple(_invoke_body(body) for body in STREAM_BODIES),
        f"step {events:06d}",
        events=events,
        event_end=FRAME_END,
        header=HEADER,
    )
