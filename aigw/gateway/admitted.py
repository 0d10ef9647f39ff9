"""A request that may be served: by whom it was made, where it leads, with whose credential."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from aigw.gateway.auth import Caller
from aigw.providers.provider import Provider, Target


@dataclass(slots=True)
class Admitted:
    """What the relay and the pass-through are given.

    Attributes:
        query: the raw query string with its `?`, or empty.
        headers: the client's for the provider, without the gateway's own and its keys.
        central: the operator's credential goes upstream, not the client's own.
    """

    request: web.BaseRequest
    provider: Provider
    target: Target
    caller: Caller
    query: str
    headers: CIMultiDict[str]
    central: bool
