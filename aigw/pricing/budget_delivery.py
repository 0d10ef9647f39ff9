"""Handing a budget notice to a webhook or a command of the operator's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import truststore

from aigw.secrets import Secret

_log = logging.getLogger("aigw.budgets")

WEBHOOK_SECONDS = 10.0
"""How long a webhook may take to answer: chat services do within a second."""

WEBHOOK_PAUSES = (1.0, 5.0)
"""Seconds before the second and the third attempt; there is no fourth."""

COMMAND_SECONDS = 30.0
"""How long a command may run before it is killed: later notices wait for it."""

_TRY_AGAIN = frozenset({408, 425, 429})

_KEPT_VARIABLES = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "TEMP", "TMP",
    "SYSTEMROOT", "USERPROFILE", "APPDATA", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY", "WAYLAND_DISPLAY",
)  # fmt: skip
"""What a command gets of the daemon's environment: nothing that may hold a provider's key."""

_PASSED_FIELDS = (
    "threshold",
    "budget",
    "scope",
    "subject",
    "holder",
    "period",
    "spent",
    "amount",
    "unit",
)


async def deliver(payload: Mapping[str, Any], webhook: Secret, command: Sequence[str]) -> None:
    """Tell those that are there of a notice. Failures are logged; at most a minute passes."""
    body = msgspec.json.encode(payload)
    if webhook:
        await post(webhook, body)
    if command:
        await run_command(command, body, variables(payload))


async def post(webhook: Secret, body: bytes) -> bool:
    """POST JSON to a webhook, up to three times; whether it was taken.

    Its URL may hold a token: no log line repeats more than its host.
    """
    host = urlsplit(webhook.reveal()).netloc.rpartition("@")[2]
    problem = ""
    for pause in (0.0, *WEBHOOK_PAUSES):
        await asyncio.sleep(pause)
        try:
            status = await _post_once(webhook.reveal(), body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # The library's own words may repeat the URL.
            problem = type(error).__name__
            continue
        if status < 300:  # noqa: PLR2004 (the end of success)
            return True
        problem = f"status {status}"
        if status < 500 and status not in _TRY_AGAIN:  # noqa: PLR2004 (it will not do later either)
            break
    _log.error("the budget webhook at %s failed: %s", host, problem)
    return False


async def _post_once(url: str, body: bytes) -> int:
    timeout = aiohttp.ClientTimeout(total=WEBHOOK_SECONDS)
    is_remote = url.startswith("https:")
    trusted = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_remote else True
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=is_remote) as session,
        session.post(
            url,
            data=body,
            headers={"Content-Type": "application/json", "User-Agent": "aigw"},
            allow_redirects=False,
            ssl=trusted,
        ) as answer,
    ):
        return answer.status


def variables(payload: Mapping[str, Any]) -> dict[str, str]:
    """A few fields of a notice as variables, for scripts that do not want to read JSON."""
    return {f"AIGW_BUDGET_{name.upper()}": str(payload[name]) for name in _PASSED_FIELDS}


async def run_command(words: Sequence[str], body: bytes, more: Mapping[str, str]) -> bool:
    """Run a command with JSON on its standard input; whether it ended with 0 in time.

    No shell is involved: what a client calls itself is never a part of a command line.
    """
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # NUL ends a variable, and no name that we know has one.
    environment |= {name: value.replace("\0", "") for name, value in more.items()}
    program = words[0]
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        _log.error("the budget command %s cannot be run: %s", program, error)
        return False
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            await process.communicate(body)
    except TimeoutError:
        _log.error("the budget command %s was killed after %g seconds", program, COMMAND_SECONDS)
        return False
    finally:
        if process.returncode is None:
            _kill(process)
            await process.wait()
    if process.returncode:
        _log.error("the budget command %s failed with exit code %d", program, process.returncode)
    return process.returncode == 0


def _kill(process: asyncio.subprocess.Process) -> None:
    """End it with all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
