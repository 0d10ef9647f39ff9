"""Taking a client's request: reading it, recording its start, and handing it to an exchange."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from aigw.clients.detection import Client, detect
from aigw.errors import RefusedError, StoreError
from aigw.gateway.admitted import Admitted
from aigw.gateway.asking import Asking
from aigw.gateway.body import BodyTooLargeError, read_aside, read_body, readable_copy
from aigw.gateway.breaker import Breakers, Rejection, rejection_response
from aigw.gateway.budgets import Budgets
from aigw.gateway.credentials import plan_of, recorded
from aigw.gateway.dispatch import Dispatch
from aigw.gateway.dump import Dumper
from aigw.gateway.errors import error_response, refused
from aigw.gateway.exchange import Exchange
from aigw.gateway.preparation import Prepared, prepare
from aigw.gateway.upstream import Upstream
from aigw.pricing.budget import Who
from aigw.pricing.budget_gate import FREE, Admission
from aigw.providers.provider import Target
from aigw.recorder import Ending, Interception, Recorder
from aigw.records import InterceptionStart, Status, kept_call_id
from aigw.wire.apis import Api, keeps_for_hour, read_request
from aigw.wire.facts import Outcome, RequestFacts

MODEL_CHARACTERS = 512
"""As much of a model's name is recorded: no provider has one a quarter as long, and a client could
otherwise make every record of its interception as long as a body may be."""


CIRCUIT_OPEN = Outcome(Status.FAILED, "circuit_open", "the circuit breaker was open")
"""The outcome of an interception whose provider has failed too often to be asked now."""


@dataclass(slots=True)
class _Taken:
    """A request that has been read.

    Attributes:
        arrived: when it came, on the monotonic clock.
        facts: what it says; `client` and `plan`: who sends it, and what covers it.
        prepared: as what it goes on; None where a rule does not let it.
    """

    admitted: Admitted
    arrived: float
    facts: RequestFacts
    client: Client
    plan: str | None
    prepared: Prepared | None


class Relay:
    """Serves the intercepted routes.

    Args:
        body_limit: the longest body accepted, in bytes.
        dumper: writes HAR files of what goes by; None writes none.
        budgets: say whether a request may be paid for; None: none do.
    """

    def __init__(
        self,
        recorder: Recorder,
        upstream: Upstream,
        body_limit: int,
        breakers: Breakers,
        dumper: Dumper | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self._recorder = recorder
        self._upstream = upstream
        self._dispatch = Dispatch(upstream)
        self._body_limit = body_limit
        self._breakers = breakers
        self._dumper = dumper
        self._budgets = budgets

    async def serve(self, admitted: Admitted) -> web.StreamResponse:
        """Relay one request and record it."""
        arrived = time.monotonic()
        request, api = admitted.request, admitted.target.api
        assert api is not None, "only intercepted routes are served here"
        try:
            body = await read_body(request, self._body_limit)
        except BodyTooLargeError:
            return too_large(admitted.target, self._body_limit)
        encoding = request.headers.get("Content-Encoding", "")
        plain = await readable_copy(body, encoding, self._body_limit)
        facts = await _read(api, admitted.target, plain)
        # Before the start: from there on nothing may be awaited that a cancellation could lose.
        try:
            prepared = await prepare(admitted, facts, body, plain)
        except RefusedError as error:
            return await self._refuse(_taken(admitted, arrived, facts, None), error)
        taken = _taken(admitted, arrived, facts, prepared)
        try:
            admission = await self._admit(taken, api, prepared, body, plain)
        except RefusedError as error:
            return await self._refuse(taken, error)
        with admission:
            return await self._send(taken, api, prepared)

    async def _admit(
        self, taken: _Taken, api: Api, prepared: Prepared, body: bytes, plain: bytes
    ) -> Admission:
        """Reserve what the request may cost. `plain` is the body decompressed, empty if it cannot be.

        Raises:
            RefusedError: a budget is spent, or nobody can tell what the request would cost.
        """
        if self._budgets is None or not self._budgets.is_active:
            return FREE
        if body and not plain:
            # Its model is not known, and so its price is not: each such request would be free.
            encoding = taken.admitted.request.headers.get("Content-Encoding", "")
            raise RefusedError(
                400,
                "unreadable_body",
                f"there are budgets, and a body with the content coding {encoding!r} cannot be read, or "
                f"is longer than {self._body_limit} bytes without it: send it as it is",
            )
        taken.facts.keeps_for_hour = await read_aside(partial(keeps_for_hour, api), plain)
        caller, client = taken.admitted.caller, taken.client
        who = Who(
            caller.initiator_id,
            client.name,
            caller.api_key_id,
            client.session_id,
            taken.plan is not None,
        )
        return await self._budgets.admit(
            taken.admitted, taken.facts, who, prepared.model, len(plain)
        )

    async def _send(self, taken: _Taken, api: Api, prepared: Prepared) -> web.StreamResponse:
        """Record the start, ask the provider, relay its answer."""
        admitted = taken.admitted
        request, shape = admitted.request, admitted.target.shape
        asking = Asking(self._dispatch, admitted.provider, central=admitted.central)
        await asking.resolve()
        passing = self._breakers.admit(
            admitted.provider.name, admitted.target.route, prepared.model, time.monotonic()
        )
        if isinstance(passing, Rejection):
            answer = rejection_response(shape, passing.remaining)
            return await self._decline(taken, CIRCUIT_OPEN, answer)
        try:
            interception = await self._start(taken, asking.first_hint)
        except BaseException as error:
            passing.abandoned(time.monotonic())
            if isinstance(error, StoreError):
                return error_response(shape, 503, "store_unavailable", str(error))
            raise
        dump = None
        if self._dumper is not None:
            provider, route = admitted.provider, admitted.target.route
            dump = self._dumper.begin(
                provider.name, prepared.model, interception.id, route, provider.headers
            )
        exchange = Exchange(
            request,
            interception,
            asking,
            self._upstream,
            api,
            shape,
            streaming=taken.facts.streaming,
            arrived=taken.arrived,
            edit=prepared.edit,
            translation=prepared.translation,
            passing=passing,
            tier=taken.facts.service_tier,
            dump=dump,
        )
        return await exchange.run(prepared.call)

    async def _refuse(self, taken: _Taken, error: RefusedError) -> web.StreamResponse:
        """Record a request that a rule or budget does not allow, and say so."""
        answer = refused(taken.admitted.target.shape, error)
        return await self._decline(taken, Outcome(Status.FAILED, error.code, str(error)), answer)

    async def _decline(
        self, taken: _Taken, outcome: Outcome, answer: web.Response
    ) -> web.StreamResponse:
        """Record a request that is not sent anywhere, and answer it."""
        try:
            interception = await self._start(taken, "")
            elapsed = round((time.monotonic() - taken.arrived) * 1000)
            streaming = taken.facts.streaming
            await interception.end(
                Ending(outcome, answer.status, elapsed, elapsed, streaming, attempts=0)
            )
        except StoreError as error:
            shape = taken.admitted.target.shape
            return error_response(shape, 503, "store_unavailable", str(error))
        return answer

    async def _start(self, taken: _Taken, hint: str) -> Interception:
        admitted, facts, client = taken.admitted, taken.facts, taken.client
        provider, caller, prepared = admitted.provider, admitted.caller, taken.prepared
        headers = admitted.request.headers
        credential = recorded(provider, admitted.headers, central=admitted.central, hint=hint)
        now = self._recorder.now()
        agent = headers.get("User-Agent")
        model = prepared.model if prepared is not None else facts.model
        call_id = facts.correlating_tool_call_id
        start = InterceptionStart(
            interception_id=self._recorder.new_id(now),
            started_at=now,
            initiator_id=caller.initiator_id,
            api_key_id=caller.api_key_id,
            provider=provider.type.family,
            provider_name=provider.name,
            route=admitted.target.route,
            model=model[:MODEL_CHARACTERS],
            client=client.name,
            client_session_id=client.session_id,
            correlating_tool_call_id=None if call_id is None else kept_call_id(call_id),
            credential_kind=credential.kind,
            credential_hint=credential.hint,
            requested_model=facts.model[:MODEL_CHARACTERS] if model != facts.model else None,
            model_rule=prepared.rule if prepared is not None else None,
            plan=taken.plan,
            agent_id=client.agent_id,
            parent_agent_id=client.parent_agent_id,
            parent_session_id=client.parent_session_id,
            metadata={"request_user_agent": _clean(agent)} if agent else {},
        )
        return await self._recorder.start(
            start, prompt=facts.prompt, tool_results=facts.tool_results
        )


def _taken(
    admitted: Admitted, arrived: float, facts: RequestFacts, prepared: Prepared | None
) -> _Taken:
    client = detect(admitted.request.headers, facts.session_key, facts.prompt_cache_key)
    plan = plan_of(admitted.provider, admitted.headers, central=admitted.central)
    return _Taken(admitted, arrived, facts, client, plan, prepared)


async def _read(api: Api, target: Target, plain: bytes) -> RequestFacts:
    """What a request says; Bedrock's own API has the model and the kind of answer in the path."""
    facts = await read_aside(partial(read_request, api), plain)
    if target.model:
        facts.model = target.model
        facts.streaming = target.pattern.endswith("stream")
    return facts


def too_large(target: Target, limit: int) -> web.StreamResponse:
    """The answer to a body over the limit; the connection ends, as the rest is not read."""
    response = error_response(
        target.shape,
        413,
        "request_too_large",
        f"the request body exceeds {limit} bytes; raise --max-body-size to allow it",
    )
    response.force_close()
    return response


def _clean(text: str) -> str:
    """A header as text the store can hold: bytes that are not UTF-8 arrive as lone surrogates."""
    return text[:1024].encode("utf-8", "replace").decode()
