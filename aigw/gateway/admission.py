"""Who is served by which provider, and with whose credential: the operator's or the client's own."""

from __future__ import annotations

from collections.abc import Mapping

from aigw.errors import RefusedError
from aigw.gateway.auth import Caller
from aigw.gateway.credentials import own_credential
from aigw.providers.provider import Provider

BYOK_OFF = (
    "Bring Your Own Key (BYOK) mode is not enabled. Contact your administrator to enable it with "
    "--aibridge-allow-byok."
)

_SEND_YOUR_OWN = (
    ": send your own credential as usual, and your gateway key in the header "
    "X-Coder-AI-Governance-Token"
)
_SERVES_NOBODY = (
    ", and users may not bring their own: whoever runs the gateway sets a key for it, or allows "
    "theirs with --aibridge-allow-byok"
)

_OWN_ONLY = " The provider {} takes nothing but the user's own login."

_SHOWN = 100
"""Characters of a client's model name that a message repeats: no provider has longer ones."""


def check_provider(provider: Provider, caller: Caller) -> None:
    """See that the caller's key is good for a provider.

    Raises:
        RefusedError: it is not.
    """
    if caller.key is not None and not caller.key.allows_provider(provider.name):
        raise RefusedError(
            403,
            "provider_not_allowed",
            f"the gateway key {caller.key.name!r} may not use the provider {provider.name}",
        )


def check_model(caller: Caller, model: str) -> None:
    """See that the caller's key is good for a model, by the name that the client has for it.

    Raises:
        RefusedError: it is not.
    """
    key = caller.key
    if key is not None and not key.allows_model(model):
        shown = f"the model {model[:_SHOWN]!r}" if model else "a request that names no model"
        raise RefusedError(
            403, "model_not_allowed", f"the gateway key {key.name!r} may not use {shown}"
        )


def uses_central(provider: Provider, caller: Caller, headers: Mapping[str, str]) -> bool:
    """Whether the operator's credential goes upstream. `headers` hold no gateway key any more.

    Without gateway keys (open mode) a central credential is used where there is one. With them it
    is used unless the client brings its own and says so by the header its gateway key is in. A
    signature for AWS is good for one address only, so Bedrock always gets the operator's.

    Raises:
        RefusedError: the credential that would be used may not be, or is missing.
    """
    if provider.bedrock is not None:
        return True
    if caller.key is None:
        central = provider.pool is not None
    else:
        own = caller.byok and own_credential(provider, headers)
        central = not own and not (caller.byok and provider.pool is None)
    if central:
        if provider.pool is None:
            advice = _SEND_YOUR_OWN if provider.allow_byok else _SERVES_NOBODY
            message = f"the gateway has no key for the provider {provider.name}{advice}"
            raise RefusedError(403, "no_central_key", message)
        return True
    if not provider.allow_byok:
        own_only = _OWN_ONLY.format(provider.name) if provider.type.is_personal else ""
        raise RefusedError(403, "byok_not_allowed", BYOK_OFF + own_only)
    if provider.type.is_personal and not own_credential(provider, headers):
        raise RefusedError(
            401,
            "no_credential",
            f"the provider {provider.name} takes only your own login: the request has no "
            "Authorization header with its token",
        )
    return False
