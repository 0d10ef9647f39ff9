"""An AWS identity as a credential: found once, kept fresh in the background, signing each request.

botocore finds and renews credentials, and signs. It blocks, so what may take time runs in a thread:
always the search and the renewal, the signature only of a large body.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aigw.errors import UpstreamError
from aigw.providers.bedrock_endpoint import Endpoint
from aigw.providers.call import Call
from aigw.secrets import fingerprint, mask
from aigw.tasks import spawn

SIGNED_INLINE = 1024 * 1024
"""Bodies up to this size are hashed on the event loop: some milliseconds at most. Longer ones would
hold up everybody else."""

LEAST_LIFE_S = 60
"""Credentials that expire sooner than this are renewed before they sign: AWS checks them when the
request arrives, and clocks differ. Until then requests are signed while a renewal runs."""

RETRY_PAUSE_S = 5.0
"""After a failure nothing is tried for this long: where there is no metadata service each search
takes a second or more, and a thousand waiting requests must not start a thousand of them."""

RENEWAL_PAUSE_S = 30.0
"""The same between attempts to renew credentials that still serve. botocore begins 15 minutes
before they expire, which leaves thirty attempts."""

_SIGNING_HEADERS = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")

Look: TypeAlias = Callable[[Any], tuple[Any, Any]]

_log = logging.getLogger("aigw.providers")


class AwsIdentity:
    """A `CentralCredential` that signs with AWS Signature Version 4.

    Args:
        look: finds botocore's `Credentials` and, frozen, what they are now: given None, searches;
            given what it found before, renews it if that is due. Blocks; raises UpstreamError.
        endpoint: whose region and services requests are signed for.
        name: tells identities apart; no secret is in it.
        access_key: the id of the key where it is known beforehand.
    """

    def __init__(self, look: Look, endpoint: Endpoint, name: str, access_key: str = "") -> None:
        self._look = look
        self._endpoint = endpoint
        self._name = name
        self._access_key = access_key
        self._credentials: Any = None
        self._frozen: Any = None
        self._search: asyncio.Task[UpstreamError | None] | None = None
        self._failure: UpstreamError | None = None
        self._tried_at = float("-inf")

    def __repr__(self) -> str:
        return f"AwsIdentity({self.hint or 'unresolved'})"

    @property
    def hint(self) -> str:
        """The id of the access key, masked; empty until it is known."""
        return mask(self._access_key)

    @property
    def identity(self) -> str:
        """The same for the same source of credentials; temporary keys may come and go."""
        return fingerprint(self._name)

    async def resolve(self) -> None:
        """Find the credentials now, so that a wrong configuration shows before the first request.

        Raises:
            UpstreamError: there are none; its message says where they were looked for.
        """
        if self._frozen is None:
            await self._renewed()

    async def apply(self, call: Call) -> None:
        """Sign the request: `call` must not change after that, but for headers not signed.

        Raises:
            UpstreamError: there are no credentials, or they have expired and cannot be renewed.
        """
        await self._make_ready()
        if len(call.body) > SIGNED_INLINE:
            signed = await asyncio.to_thread(self._signed, call)
        else:
            signed = self._signed(call)
        for name in _SIGNING_HEADERS:
            call.headers.popall(name, None)
        call.headers.update(signed)

    async def _make_ready(self) -> None:
        if self._frozen is None:
            await self._renewed()
            return
        is_due = getattr(self._credentials, "refresh_needed", None)
        if is_due is None or not is_due():
            return
        if is_due(LEAST_LIFE_S):
            await self._renewed()
        elif time.monotonic() - self._tried_at > RENEWAL_PAUSE_S:
            self._start()

    async def _renewed(self) -> None:
        """Wait for a search that runs or is started now. Many that wait share one."""
        if self._failure is not None and time.monotonic() - self._tried_at < RETRY_PAUSE_S:
            failure: UpstreamError | None = self._failure
        else:
            failure = await asyncio.shield(self._start())
        if failure is not None:
            raise UpstreamError(failure.status, failure.kind, str(failure))

    def _start(self) -> asyncio.Task[UpstreamError | None]:
        if self._search is None or self._search.done():
            self._search = spawn("aws credentials", self._renew())
        return self._search

    async def _renew(self) -> UpstreamError | None:
        """Find or renew in a thread. A failure is the result: several may be waiting for it."""
        try:
            credentials, frozen = await asyncio.to_thread(self._looked)
        except UpstreamError as error:
            self._failure = error
            if self._frozen is not None:
                _log.warning("Bedrock: %s", error)
            return error
        else:
            self._credentials, self._frozen = credentials, frozen
            self._access_key = frozen.access_key
            self._failure = None
            return None
        finally:
            self._tried_at = time.monotonic()

    def _looked(self) -> tuple[Any, Any]:
        # Imported here, in the thread: on the event loop it would hold everybody up.
        import botocore.auth  # noqa: PLC0415
        import botocore.awsrequest  # noqa: F401, PLC0415

        return self._look(self._credentials)

    def _signed(self, call: Call) -> dict[str, str]:
        """The headers of the signature, over what AWS asks for and no proxy may change."""
        from botocore.auth import SigV4Auth  # noqa: PLC0415 (an extra, and slow to import)
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        headers = {name: value for name, value in call.headers.items() if _is_signed(name.lower())}
        headers["Host"] = urlsplit(call.url).netloc
        request = AWSRequest(method=call.method, url=call.url, headers=headers, data=call.body)
        service = self._endpoint.service(call.url)
        SigV4Auth(self._frozen, service, self._endpoint.region).add_auth(request)
        found = ((name, request.headers.get(name)) for name in _SIGNING_HEADERS)
        return {name: value for name, value in found if value is not None}


def _is_signed(name: str) -> bool:
    if name in {"x-amz-date", "x-amz-security-token"}:
        return False
    return name == "content-type" or name.startswith("x-amz-")
