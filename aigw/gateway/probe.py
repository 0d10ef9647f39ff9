"""One request to a provider, to see whether it can be reached and takes each of the keys.

It goes the way the daemon's requests go: the same TLS, proxies and timeouts. Without a model it
asks for what is free, the list of models; Bedrock has none, and is asked for an answer of one token.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from multidict import CIMultiDict

from aigw.errors import UpstreamError
from aigw.gateway.faults import upstream_error
from aigw.gateway.probe_verdict import Answer, Verdict, verdict_of_answer, verdict_of_fault
from aigw.gateway.upstream import Upstream
from aigw.providers.call import Call, CentralCredential
from aigw.providers.provider import Provider

ANSWER_SECONDS = 30.0
"""How long a provider may take: a model needs a second or two for a token, and whoever waits at the
terminal should learn of a hang before they give up."""

LARGEST_ANSWER = 4 * 1024 * 1024
"""The most that is read of an answer: OpenRouter's list of models has about half a megabyte."""

_ANTHROPIC_VERSION = ("anthropic-version", "2023-06-01")
_BEDROCK_VERSION = "bedrock-2023-05-31"
_WORDS = [{"role": "user", "content": "hi"}]
# Mantle has no inference profiles: global.anthropic.claude-x-20250929-v1:0 is anthropic.claude-x.
_PROFILE_PARTS = re.compile(r"^[a-z-]+\.(?=anthropic\.)|-\d{8}-v\d+(:\d+)?$", re.ASCII)
# Their lists of models are public: these show whether the key is good (openrouter.ai/docs,
# vercel.com/docs/ai-gateway).
_KEY_PAGES = {"openrouter": "/key", "vercel": "/credits"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request. `key` is masked; empty where none was sent or it is not known."""

    key: str
    problem: str
    message: str
    milliseconds: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


async def probe(
    provider: Provider, upstream: Upstream, model: str, clean: Callable[[str], str]
) -> list[Outcome]:
    """Ask once with each of the provider's credentials, or once without where it has none.

    `model` is empty to ask for what is free. `clean` takes secrets out of a provider's words.
    """
    credentials: Sequence[CentralCredential | None] = [None]
    if provider.pool is not None and not provider.type.is_personal:
        credentials = provider.pool.credentials
    return [await _ask(provider, credential, upstream, model, clean) for credential in credentials]


async def _ask(
    provider: Provider,
    credential: CentralCredential | None,
    upstream: Upstream,
    model: str,
    clean: Callable[[str], str],
) -> Outcome:
    call, subject = probe_call(provider, model)
    started = time.monotonic()
    try:
        if credential is not None:
            await credential.apply(call)
        started = time.monotonic()
        answer = await _answer(upstream, call)
    except UpstreamError as error:
        host = urlsplit(call.url).netloc
        verdict = verdict_of_fault(host, error)
    else:
        verdict = _judged(provider, answer, subject, has_key=credential is not None)
    spent = round((time.monotonic() - started) * 1000)
    hint = credential.hint if credential is not None else ""
    return Outcome(hint, verdict.problem, clean(verdict.message), spent)


def _judged(provider: Provider, answer: Answer, subject: str, *, has_key: bool) -> Verdict:
    verdict = verdict_of_answer(answer, has_key=has_key, subject=subject)
    if provider.type.is_personal and verdict.problem in {"", "rate_limited"}:
        return Verdict("", "reachable; it is used with each user's own login: no key was tried")
    return verdict


async def _answer(upstream: Upstream, call: Call) -> Answer:
    answer = await upstream.send(call.method, call.url, call.headers, call.body)
    body = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while len(body) < LARGEST_ANSWER and (piece := await answer.content.readany()):
                body += piece
    except Exception as error:
        raise upstream_error(answer.host, error) from error
    finally:
        answer.close()
    return Answer(answer.status, answer.headers.get("Content-Type", ""), body)


def probe_call(provider: Provider, model: str) -> tuple[Call, str]:
    """The request, without credential, and the model that it asks, in words for a message."""
    headers = CIMultiDict({"Accept": "application/json", "Accept-Encoding": "identity"})
    headers["User-Agent"] = "aigw-providers-test"
    if provider.bedrock is not None:
        path, body, subject = _bedrock_request(provider, model, headers)
    elif provider.type.family == "anthropic":
        headers.update([_ANTHROPIC_VERSION])
        path, body, subject = _anthropic_request(model)
    else:
        path, body, subject = _openai_request(provider, model)
    for name, value in provider.headers.items():
        headers[name] = value
    if not body:
        return Call("GET", provider.base_url + path, headers, b""), subject
    headers["Content-Type"] = "application/json"
    return Call("POST", provider.base_url + path, headers, json.dumps(body).encode()), subject


_Request = tuple[str, dict[str, Any], str]


def _openai_request(provider: Provider, model: str) -> _Request:
    if not model or provider.type.is_personal:
        return _KEY_PAGES.get(provider.type.name, "/models"), {}, ""
    # OpenAI's later models refuse the first name and need room to think; others know no other.
    ceiling: dict[str, Any] = {"max_tokens": 1}
    if provider.type.name in {"openai", "azure"}:
        ceiling = {"max_completion_tokens": 16}
    body = {"model": model, "messages": _WORDS, **ceiling}
    return "/chat/completions", body, f"model {model}"


def _anthropic_request(model: str) -> _Request:
    if not model:
        return "/v1/models", {}, ""
    body = {"model": model, "max_tokens": 1, "messages": _WORDS}
    return "/v1/messages", body, f"model {model}"


def _bedrock_request(provider: Provider, model: str, headers: CIMultiDict[str]) -> _Request:
    settings = provider.bedrock.settings if provider.bedrock is not None else None
    assert settings is not None
    # What the gateway would ask for it; this looks at the name alone.
    choose = getattr(provider.bedrock, "choose", None)
    if not model:
        model = settings.model
        if settings.protocol == "mantle":
            model = _PROFILE_PARTS.sub("", model)
    elif choose is not None:
        model = choose(model).model
    subject = f"model {model}" + (f" in region {settings.region}" if settings.region else "")
    body: dict[str, Any] = {"max_tokens": 1, "messages": _WORDS}
    if settings.protocol == "mantle":
        headers.update([_ANTHROPIC_VERSION])
        return "/v1/messages", {"model": model, **body}, subject
    path = f"/model/{quote(model, safe='')}/invoke"
    return path, {"anthropic_version": _BEDROCK_VERSION, **body}, subject
