"""The client's own credential: where it is, and what is recorded of it."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
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

    A login of Claude's plans is an OAuth token (`sk-ant-oat...`), one of ChatGPT's a JSON Web Token
    that names the account; Copilot has nothing but plans. The operator's keys are paid for, and so
    are the other tokens of this form: Azure's, a company's, those of OpenAI's workloads.

    Anthropic's tokens for workloads (Workload Identity Federation) look as those of its plans do,
    and are counted as such.
    """
    if provider.type.name == "copilot":
        return "copilot"
    if provider.type.name == "chatgpt":
        return "chatgpt"
    if central:
        return None
    if provider.type.family == "anthropic":
        token = own_credential(provider, headers)
        return "claude" if token.startswith(_CLAUDE_LOGIN) else None
    if provider.type.family == "openai":
        token = own_credential(provider, headers)
        return "chatgpt" if _is_of_chatgpt(token) else None
    return None


_CLAUDE_LOGIN = "sk-ant-oat"

_TOKEN_LIMIT = 16 * 1024
"""Characters of a token that is looked into, on every request: more than all headers may have."""


_JWT_PARTS = 3
_OPENAI_CLAIM = "https://api.openai.com/auth"


class _Claims(msgspec.Struct, gc=False):
    openai: Any = msgspec.field(default=None, name=_OPENAI_CLAIM)


_CLAIMS = msgspec.json.Decoder(_Claims)


def _is_of_chatgpt(token: str) -> bool:
    """Whether a JSON Web Token (RFC 7519) names a ChatGPT account. Nothing of it is verified."""
    parts = token.split(".")
    if not token.startswith("eyJ") or len(parts) != _JWT_PARTS or len(token) > _TOKEN_LIMIT:
        return False
    claims = parts[1]
    try:
        found = _CLAIMS.decode(urlsafe_b64decode(claims + "=" * (-len(claims) % 4))).openai
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool(found.get("chatgpt_account_id"))


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
