"""The floor: the least that an aiohttp reverse proxy does. It relays and records nothing.

What is measured against it is the price of being a gateway. It is written the way that is obvious
and quick: one handler for every path, hop-by-hop headers dropped, bodies of a known moderate size
passed whole, the rest piece by piece as it comes, no decompression, no access log.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy

from benchmarks.machine import run

_SKIPPED: Final = frozenset(
    {"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_BODY_LIMIT: Final = 64 << 20
_WHOLE_REQUEST: Final = 64 << 10
"""Request bodies up to this size are read, then sent with their head; larger ones are streamed.
Measured: reading is the quicker for 1 KB, streaming for 200 KB."""

_WHOLE_ANSWER: Final = 1 << 20
"""Answers up to this size with a Content-Length are passed in one write."""


def _kept(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in _SKIPPED)


class Floor:
    """The proxy: one upstream, one client session."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: ClientSession | None = None

    async def session(self, _app: web.Application) -> None:
        """Open the client session once the loop runs."""
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=60),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
        )

    async def close(self, _app: web.Application) -> None:
        """Close the client session."""
        if self._session is not None:
            await self._session.close()

    async def relay(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on and its answer back."""
        assert self._session is not None
        size = request.content_length
        small = size is not None and size <= _WHOLE_REQUEST
        async with self._session.request(
            request.method,
            self._upstream + request.raw_path,
            headers=_kept(request.headers),
            data=await request.read() if small else request.content,
            allow_redirects=False,
        ) as answer:
            headers = _kept(answer.headers)
            length = answer.content_length
            if length is not None and length <= _WHOLE_ANSWER:
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


async def serve(upstream: str) -> None:
    """Serve until killed; print the address when ready."""
    floor = Floor(upstream)
    app = web.Application(client_max_size=_BODY_LIMIT)
    app.on_startup.append(floor.session)
    app.on_cleanup.append(floor.close)
    app.router.add_route("*", "/{path:.*}", floor.relay)
    runner = web.AppRunner(app, access_log=None, handle_signals=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run alone: `python -m benchmarks.floor http://UPSTREAM`."""
    run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
