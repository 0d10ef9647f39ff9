"""Which credential goes upstream: the operator's central key, or else the client's own."""

from __future__ import annotations

from typing import NamedTuple

from multidict import CIMultiDict

from aigw.providers.provider import Provider
from aigw.secrets import mask

CENTRALIZED = "centralized"
BYOK = "byok"


class Credential(NamedTuple):
    """What is recorded of a credential: `hint` is masked, both are empty when there is none."""

    kind: str
    hint: str


def apply_credential(provider: Provider, headers: CIMultiDict[str]) -> Credential:
    """Put the central key in place of the client's credentials, or leave those as they came.

    `headers` are those for the provider and are changed in place. A central key replaces every
    header a client may have put a credential in, so that never two of them meet.
    """
    if provider.key is not None:
        for name in provider.type.credential_headers:
            headers.popall(name, None)
        key = provider.key.reveal()
        name, form = provider.type.key_header
        headers[name] = form.format(key)
        return Credential(CENTRALIZED, mask(key))
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
