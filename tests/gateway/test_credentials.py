"""Which credential goes upstream, and what is recorded of it."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from aigw.gateway.credentials import Credential, recorded, remove_credentials
from aigw.providers.call import ApiKey, Call
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider, ProviderType
from aigw.providers.types import ANTHROPIC, OPENAI
from aigw.secrets import Secret

CENTRAL = "sk-central-0123456789abcdef"
OWN = "sk-client-9876543210fedcba"
NONE = Credential("", "")
CENTRALIZED = Credential("centralized", "sk-c...cdef")
BYOK = Credential("byok", "sk-c...dcba")


async def applied(provider: Provider, headers: CIMultiDict[str]) -> Credential:
    """What the relay does with a request's headers."""
    if provider.pool is None:
        return recorded(provider, headers, central=False, hint="")
    (credential,) = provider.pool.credentials
    remove_credentials(provider, headers)
    await credential.apply(Call("POST", "http://h", headers, b""))
    return recorded(provider, headers, central=True, hint=credential.hint)


GIVEN = [
    [],
    [("Authorization", f"Bearer {OWN}")],
    [("X-Api-Key", OWN)],
    [("authorization", f"Bearer {OWN}"), ("x-api-key", OWN)],
    [("X-Api-Key", OWN), ("x-api-key", "another")],
    [("Authorization", "Basic dXNlcjpwYXNz")],
    [("api-key", OWN), ("X-Goog-Api-Key", OWN)],
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
@pytest.mark.parametrize(
    ("kind", "sent"),
    [(OPENAI, ("Authorization", f"Bearer {CENTRAL}")), (ANTHROPIC, ("X-Api-Key", CENTRAL))],
    ids=["openai", "anthropic"],
)
async def test_a_central_key_replaces_all(
    kind: ProviderType, sent: tuple[str, str], given: list[tuple[str, str]]
) -> None:
    headers = CIMultiDict([("A", "1"), *given, ("B", "2")])
    pool = KeyPool([ApiKey(Secret(CENTRAL), kind.key_header)])
    assert await applied(Provider(kind, kind.name, "http://h", pool), headers) == CENTRALIZED
    assert sorted(headers.items()) == sorted([("A", "1"), ("B", "2"), sent])


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (OPENAI, [("Authorization", f"Bearer {OWN}")], BYOK),
        (OPENAI, [("Authorization", f"bearer  {OWN} ")], BYOK),
        (OPENAI, [("Authorization", OWN)], BYOK),
        (OPENAI, [("X-Api-Key", OWN)], BYOK),
        (OPENAI, [("X-Api-Key", "other-key-00"), ("Authorization", f"Bearer {OWN}")], BYOK),
        (OPENAI, [("Authorization", "Bearer"), ("X-Api-Key", OWN)], BYOK),
        (OPENAI, [("Authorization", "Bearer ")], NONE),
        (OPENAI, [("Authorization", "")], NONE),
        (OPENAI, [("X-Api-Key", "  ")], NONE),
        (OPENAI, [], NONE),
        (ANTHROPIC, [("X-Api-Key", OWN)], BYOK),
        (ANTHROPIC, [("Authorization", f"Bearer {OWN}")], BYOK),
        (ANTHROPIC, [("Authorization", "Bearer other-key-00"), ("X-Api-Key", OWN)], BYOK),
        (ANTHROPIC, [], NONE),
    ],
)
async def test_without_one_the_clients_own_goes_on_untouched(
    kind: ProviderType, given: list[tuple[str, str]], expected: Credential
) -> None:
    headers = CIMultiDict([("A", "1"), *given])
    assert await applied(Provider(kind, kind.name, "http://h"), headers) == expected
    assert list(headers.items()) == [("A", "1"), *given]


async def test_a_credential_that_is_not_utf8_has_a_hint_the_store_takes() -> None:
    token = b"\xe9\xff-aaaaaaaaaaaaaaaaaaaaaaaa-\xff".decode("utf-8", "surrogateescape")
    headers = CIMultiDict({"X-Api-Key": token})
    hint = (await applied(Provider(ANTHROPIC, "anthropic", "http://h"), headers)).hint
    assert hint.encode()
    assert headers["X-Api-Key"] == token
