"""Which credential goes upstream: the operator's central key, or else the client's own."""

from __future__ import annotations

from typing import NamedTuple

from aigw.providers.call import Call
from aigw.providers.provider import Provider
from aigw.secrets import mask

CENTRALIZED = "centralized"
BYOK = "byok"


class Credential(NamedTuple):
    """What is recorded of a credential: `hint` is masked, both are empty when there is none."""

    kind: str
    hint: str


async def apply_credential(provider: Provider, call: Call) -> Credential:
    """Put the central key in place of the client's credentials, or leave those as they came.

    The call's headers are changed in place. A central key replaces every header a client may have
    put a credential in, so that never two of them meet.
    """
    headers = call.headers
    if provider.pool is not None:
        for name in provider.type.credential_headers:
            headers.popall(name, None)
        central = provider.pool.credentials[0]
        await central.apply(call)
        return Credential(CENTRALIZED, central.hint)
    for name in provider.type.credential_headers:
        value = headers.get(name)
        if value and (token := _token(name, value)):
            # Bytes that are not UTF-8 came in as lone surrogates, which no store takes.
            return Credential(BYOK, mask(token).encode("utf-8", "replace").decode())
    return Credential("", "")


def _token(name: str, value: str) -> str:
    if name != "Authorization":
        return value.strip()
    parts = value.split(None, 1)
    if len(parts) == 1 and parts[0].lower() == "bearer":
        # A scheme alone is no credential; a key without its scheme is one.
        return ""
    return parts[-1].strip() if parts else ""
