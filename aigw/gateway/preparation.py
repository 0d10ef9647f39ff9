"""From a client's request to the one for the provider: its model, its address, its edits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from aigw.errors import RefusedError
from aigw.gateway.admission import check_model
from aigw.gateway.admitted import Admitted
from aigw.gateway.body import read_aside
from aigw.gateway.credentials import remove_credentials
from aigw.gateway.edits import ChatUsageEdit
from aigw.providers.bedrock import Bedrock
from aigw.providers.call import Call, Translation
from aigw.providers.model_rules import ModelRefusedError, names_one_model
from aigw.wire.apis import Api
from aigw.wire.bedrock_sse import MessagesTranslation
from aigw.wire.facts import RequestFacts
from aigw.wire.object_edit import set_model


@dataclass(slots=True)
class Prepared:
    """A request as it goes to the provider, but for a central credential.

    Attributes:
        model: the one that the provider is asked for; `rule` says why, where it is not the client's.
        translation: turns the answer into one of the client's API, where that is another.
        edit: takes out of the answer what the gateway asked for in addition.
    """

    call: Call
    model: str
    rule: str | None = None
    translation: Translation | None = None
    edit: ChatUsageEdit | None = None


async def prepare(admitted: Admitted, facts: RequestFacts, body: bytes, plain: bytes) -> Prepared:
    """Choose the model and make the request. `plain` is the body decompressed, empty if it cannot be.

    Raises:
        RefusedError: a rule does not allow the model, or the request cannot be translated.
    """
    provider, target = admitted.provider, admitted.target
    model, rule = await choose_model(admitted, facts.model, plain)
    headers = admitted.headers
    if admitted.central:
        remove_credentials(provider, headers)
    call = Call("POST", provider.base_url + target.path + admitted.query, headers, body)
    prepared = Prepared(call, model, rule)
    if provider.bedrock is not None:
        await _for_bedrock(prepared, provider.bedrock, admitted, facts, plain)
    elif model != facts.model:
        await rename_model(call, plain, model)
        plain = call.body
    for name, value in provider.headers.items():
        call.headers[name] = value
    if facts.lacks_usage:
        await _ask_for_usage(prepared, plain)
    return prepared


def has_model_rules(admitted: Admitted) -> bool:
    """Whether the provider's rules or the caller's key say which models may be asked for."""
    key = admitted.caller.key
    return admitted.provider.rules is not None or bool(key is not None and key.models)


async def choose_model(admitted: Admitted, requested: str, plain: bytes) -> tuple[str, str | None]:
    """The model to ask for, and the rule that put it in place of the requested one.

    Raises:
        RefusedError: a rule does not allow it, or the body names more than one.
    """
    if not has_model_rules(admitted):
        return requested, None
    rules = admitted.provider.rules
    if not admitted.target.model and not await read_aside(names_one_model, plain):
        # Which of them counts depends on the provider's parser: a rule could be slipped past.
        raise RefusedError(400, "ambiguous_model", "the request names its model more than once")
    check_model(admitted.caller, requested)
    if rules is None:
        return requested, None
    try:
        choice = rules.choose(requested)
        if admitted.provider.bedrock is not None:
            rules.judge_mapped(admitted.provider.bedrock.choose(choice.model).model)
    except ModelRefusedError as error:
        raise RefusedError(error.status, error.kind, str(error)) from error
    return choice.model, choice.rule


async def _for_bedrock(
    prepared: Prepared, bedrock: Bedrock, admitted: Admitted, facts: RequestFacts, plain: bytes
) -> None:
    """Turn a Messages request into one for Bedrock, or prepare one of Bedrock's own to be signed."""
    call, model = prepared.call, prepared.model
    if admitted.target.api is not Api.MESSAGES:
        path = admitted.target.path
        if model != facts.model:
            path = admitted.target.pattern.replace("*", quote(model, safe=""))
        call.url = path + admitted.query
        prepared.call = bedrock.resign(call)
        return
    if bedrock.is_mantle and model != facts.model:
        await rename_model(call, plain, model)
        plain = call.body
    translate = partial(
        bedrock.translate,
        headers=call.headers,
        model=model,
        streaming=facts.streaming,
        query=admitted.query.removeprefix("?"),
    )
    try:
        request = await read_aside(translate, plain)
    except ValueError as error:
        raise RefusedError(400, "invalid_body", str(error)) from error
    prepared.call = request.call()
    prepared.model = request.model
    prepared.rule = "; ".join(filter(None, (prepared.rule, request.rule))) or None
    if not bedrock.is_mantle:
        prepared.translation = MessagesTranslation()


async def rename_model(call: Call, plain: bytes, model: str) -> None:
    """Put another model into a request's body, which goes on uncompressed.

    Raises:
        RefusedError: the body is not a JSON object.
    """
    body = await read_aside(partial(set_model, model=model), plain)
    if body is None:
        raise RefusedError(400, "invalid_body", "the request's body is not a JSON object")
    call.body = body
    call.headers.popall("Content-Encoding", None)


async def _ask_for_usage(prepared: Prepared, plain: bytes) -> None:
    edit = ChatUsageEdit()
    body = await edit.apply(plain, prepared.call.headers)
    if body is not None:
        prepared.call.body = body
        prepared.edit = edit
