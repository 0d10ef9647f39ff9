"""The client's own credential: where it is, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from multidict import CIMultiDict

from aigw.gateway.auth import CREDENTIAL_HEADERS
from aigw.providers.provider import Provider
from aigw.secrets import mask

CENTRALIZED = "centralized"
BYOK = "byok"


class Credential(NamedTuple):
    """What is recorded of a credential: `hint` is masked, both are empty when there is none."""

    kind: str
    hint: str


def own_credential(provider: Provider, headers: Mapping[str, str]) -> str:
    """The token a client sends for itself; empty when it sends none."""
    for name in provider.type.credential_headers:
        value = headers.get(name)
        if value and (token := _token(name, value)):
            return token
    return ""


def recorded(
    provider: Provider, headers: Mapping[str, str], *, central: bool, hint: str
) -> Credential:
    """What to record: of the central credential with this hint, or else of the client's own."""
    if central:
        return Credential(CENTRALIZED, hint)
    token = own_credential(provider, headers)
    # Bytes that are not UTF-8 came in as lone surrogates, which no store takes.
    return Credential(BYOK, mask(token).encode("utf-8", "replace").decode()) if token else NONE


NONE = Credential("", "")


def plan_of(provider: Provider, headers: Mapping[str, str], *, central: bool) -> str | None:
    """The subscription that covers a request; None where each token is paid for.

    A login of Claude's plans is an OAuth token (`sk-ant-oat...`), one of ChatGPT's a JSON Web Token;
    Copilot has nothing but plans.
    """
    if provider.type.name == "copilot":
        return "copilot"
    if provider.type.name == "chatgpt":
        return "chatgpt"
    if central or provider.type.family not in _PLANS:
        return None
    plan, beginning = _PLANS[provider.type.family]
    return plan if own_credential(provider, headers).startswith(beginning) else None


_PLANS = {"anthropic": ("claude", "sk-ant-oat"), "openai": ("chatgpt", "eyJ")}
"""By the API's family: the plan, and how the tokens of its logins begin."""


def remove_credentials(provider: Provider, headers: CIMultiDict[str]) -> None:
    """Take out every header a client may have put a credential in, before a central one goes in.

    Those of other types too: the operator's credential never travels beside another one.
    """
    for name in (*provider.type.credential_headers, *CREDENTIAL_HEADERS):
        headers.popall(name, None)


def _token(name: str, value: str) -> str:
    if name != "Authorization":
        return value.strip()
    parts = value.split(None, 1)
    if len(parts) == 1 and parts[0].lower() == "bearer":
        # A scheme alone is no credential; a key without its scheme is one.
        return ""
    return parts[-1].strip() if parts else ""
