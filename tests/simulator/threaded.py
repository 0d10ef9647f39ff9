"""The simulator in a thread of its own, for tests whose clients block."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from tests.simulator.server import Engine
from tests.simulator.wire import Received

if TYPE_CHECKING:
    import ssl

    from tests.simulator.script import Script

Match = bytes | Callable[[Received], bool] | None


class Simulator:
    """Both providers on one loopback port.

    with Simulator() as simulator:
        client = OpenAI(base_url=simulator.openai_url, api_key="k")
        simulator.script(Script(status=529), match=b"some token")
        request = simulator.wait_for(b"some token")
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._engine = Engine()
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._started = threading.Event()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the simulator did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.port = self._loop.run_until_complete(self._engine.listen("127.0.0.1", 0, self._tls))
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._engine.close())
        self._loop.close()

    @property
    def url(self) -> str:
        """The root, without a slash at the end."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL as OpenAI's is written."""
        return f"{self.url}/v1/"

    @property
    def anthropic_url(self) -> str:
        """The base URL as Anthropic's is written."""
        return f"{self.url}/"

    @property
    def mantle_url(self) -> str:
        """The base URL of Bedrock's Mantle; the runtime's is `url`."""
        return f"{self.url}/mantle/anthropic"

    @property
    def signed(self) -> list[Received]:
        """The requests so far whose AWS signature was right."""
        return [request for request in self.requests if request.signed is not None]

    @property
    def requests(self) -> list[Received]:
        """Every request so far, in order of arrival."""
        with self._engine.condition:
            return list(self._engine.requests)

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._engine.connections)

    @property
    def pending_scripts(self) -> int:
        """How many scripts no request has used yet."""
        return self._engine.pending()

    def script(self, *scripts: Script, match: Match = None) -> None:
        """Answer the next matching requests by these, in order. Bytes match anywhere in a request."""
        for script in scripts:
            self._engine.add(script, _predicate(match))

    def always(self, script: Script, *, match: Match, after: int = 0) -> None:
        """Answer all matching requests by this, but the first `after`: a key that is refused."""
        self._engine.add_rule(script, _predicate(match), after)

    def clear_scripts(self) -> None:
        """Forget scripts not used yet."""
        self._engine.clear_scripts()

    def forget(self) -> None:
        """Forget the requests so far, in long runs."""
        with self._engine.condition:
            self._engine.requests.clear()

    def matching(self, match: Match) -> list[Received]:
        """The requests so far that match."""
        wanted = _predicate(match)
        return [request for request in self.requests if wanted(request)]

    def wait_for(self, match: Match = None, count: int = 1, timeout: float = 30.0) -> Received:
        """The `count`-th request that matches, waiting for it to arrive."""
        self.wait_until(lambda: len(self.matching(match)) >= count, timeout)
        return self.matching(match)[count - 1]

    def wait_until(self, holds: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until something that the simulator sees comes true."""
        deadline = time.monotonic() + timeout
        with self._engine.condition:
            while not holds():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not seen by the simulator within {timeout} s")
                # Connections come and go without a notice: look again from time to time.
                self._engine.condition.wait(min(left, 0.02))

    def reset_connections(self) -> None:
        """End every open connection with RST, as a provider that drops idle ones does."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(10)

    async def _reset(self) -> None:
        for connection in list(self._engine.connections):
            connection.abort()


def _predicate(match: Match) -> Callable[[Received], bool]:
    if match is None:
        return lambda _request: True
    if isinstance(match, bytes):
        return lambda request: match in request
    return match
