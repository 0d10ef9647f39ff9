"""Requests of the three recorded APIs, and what the gateway's own errors must look like."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.e2e.raw import Answer, Headers, ask
from tests.simulator import Gate, Script

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator import Simulator

EVENT_STREAM = [("Content-Type", "text/event-stream")]
JSON_HEADERS: Headers = [(b"Content-Type", b"application/json")]


@dataclass(frozen=True)
class Api:
    """One recorded route: where it is, and how its streams end."""

    name: str
    provider: str
    path: str
    upstream: str
    field: str
    terminal: bytes

    def body(self, model: str, *, stream: bool = False, prompt: str = "hello") -> bytes:
        """A request's body."""
        fields: dict[str, Any] = {"model": model, "stream": stream, "max_tokens": 50}
        fields[self.field] = [{"role": "user", "content": prompt}]
        return json.dumps(fields).encode()


CHAT = Api(
    "chat",
    "openai",
    "/api/v2/aibridge/openai/v1/chat/completions",
    "/v1/chat/completions",
    "messages",
    b"data: [DONE]",
)
RESPONSES = Api(
    "responses",
    "openai",
    "/api/v2/aibridge/openai/v1/responses",
    "/v1/responses",
    "input",
    b"event: response.completed",
)
MESSAGES = Api(
    "messages",
    "anthropic",
    "/api/v2/aibridge/anthropic/v1/messages",
    "/v1/messages",
    "messages",
    b"event: message_stop",
)
APIS = [CHAT, RESPONSES, MESSAGES]


def post(daemon: Daemon, api: Api, body: bytes) -> Answer:
    """Ask the daemon on a connection of its own."""
    return ask(daemon.port, "POST", api.path, body, JSON_HEADERS)


def stream_events(simulator: Simulator, api: Api, model: str) -> list[bytes]:
    """The events of a stream, as the simulator sends them to a gateway, which asks for usage."""
    fields = json.loads(api.body(model, stream=True))
    fields["stream_options"] = {"include_usage": True}
    whole = ask(simulator.port, "POST", api.upstream, json.dumps(fields).encode()).body
    return [event + b"\n\n" for event in whole.split(b"\n\n") if event]


def held_stream(simulator: Simulator, api: Api, name: str) -> Gate:
    """Make a stream of the API wait at a gate before its fifth event."""
    gate = Gate()
    events = stream_events(simulator, api, name)
    script = Script(headers=EVENT_STREAM, body=events, framing="chunked", hold={4: gate})
    simulator.script(script, match=name.encode())
    return gate


def check_error(answer: Answer, provider: str, status: int) -> str:
    """The gateway's own error in the provider's shape, which its SDK understands; the message."""
    assert answer.status == status, answer
    assert answer.values("content-type")[0].startswith("application/json")
    body = json.loads(answer.body)
    error = body["error"]
    assert isinstance(error["type"], str)
    if provider == "anthropic":
        assert body["type"] == "error"
    else:
        assert {"message", "type", "param", "code"} <= error.keys()
    message: str = error["message"]
    assert message
    return message
