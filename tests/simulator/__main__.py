"""Run the simulator as a process: it prints `http://127.0.0.1:PORT` and serves until a signal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from tests.simulator.server import Engine


async def _serve(host: str, port: int) -> None:
    engine = Engine(keep=False)
    bound = await engine.listen(host, port)
    print(f"http://{host}:{bound}", flush=True)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    await engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if sys.platform != "win32":
        import uvloop

        uvloop.run(_serve(options.host, options.port))
    else:
        asyncio.run(_serve(options.host, options.port))


if __name__ == "__main__":
    main()
