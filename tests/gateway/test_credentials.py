"""Which credential goes upstream, and what is recorded of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from multidict import CIMultiDict

from aigw.gateway.credentials import Credential, plan_of, recorded, remove_credentials
from aigw.providers.call import ApiKey, Call
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider, ProviderType
from aigw.providers.types import ANTHROPIC, BEDROCK, COPILOT, OPENAI, TYPES
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


def token_of(claims: Any) -> str:
    """A JSON Web Token, with what is no signature."""
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(text.rstrip("=") for text in texts), "c2ln"])


CLAUDE = "sk-ant-oat01-0123456789abcdef"
CHATGPT = token_of(
    {
        "iss": "https://auth.openai.com",
        "aud": ["https://api.openai.com/v1"],
        "https://api.openai.com/auth": {
            "chatgpt_account_id": "0fb9b32d-393c-48cf-9bbf-3b246e8c5934",
            "chatgpt_plan_type": "plus",
        },
    }
)
ENTRA = token_of({"iss": "https://sts.windows.net/0fb9b32d/", "aud": "https://ai.azure.com"})
WORKLOAD = token_of({"iss": "https://auth.openai.com", "https://api.openai.com/auth": {}})


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        (ANTHROPIC, "Authorization", f"Bearer {CLAUDE}", "claude"),
        (ANTHROPIC, "Authorization", CLAUDE, "claude"),
        (ANTHROPIC, "X-Api-Key", CLAUDE, "claude"),
        (ANTHROPIC, "X-Api-Key", "sk-ant-api03-0123456789", None),
        (ANTHROPIC, "Authorization", "Bearer sk-ant-api03-0123456789", None),
        (ANTHROPIC, "Authorization", f"Bearer {CHATGPT}", None),
        (ANTHROPIC, "Accept", CLAUDE, None),
        (BEDROCK, "Authorization", f"Bearer {ENTRA}", None),
        (OPENAI, "Authorization", f"Bearer {CHATGPT}", "chatgpt"),
        (OPENAI, "X-Api-Key", CHATGPT, "chatgpt"),
        (OPENAI, "Authorization", "Bearer sk-proj-0123456789", None),
        (OPENAI, "Authorization", "Bearer sk-svcacct-0123456789", None),
        (OPENAI, "Authorization", f"Bearer {WORKLOAD}", None),
        (OPENAI, "Authorization", f"Bearer {token_of([1])}", None),
        (OPENAI, "Authorization", f"Bearer {token_of('x')}", None),
        (OPENAI, "Authorization", "Bearer eyJ", None),
        (OPENAI, "Authorization", "Bearer eyJ.!!!.x", None),
        (OPENAI, "Authorization", "Bearer eyJ.\udc80.x", None),
        (OPENAI, "Authorization", f"Bearer {CHATGPT}.more", None),
        (OPENAI, "Authorization", "", None),
        (TYPES["azure"], "Api-Key", ENTRA, None),
        (TYPES["azure"], "Authorization", f"Bearer {ENTRA}", None),
        (TYPES["chatgpt"], "Authorization", f"Bearer {CHATGPT}", "chatgpt"),
        (COPILOT, "Authorization", "Bearer gho_0123456789", "copilot"),
    ],
)
def test_plans(kind: ProviderType, name: str, value: str, expected: str | None) -> None:
    provider = Provider(kind, kind.name, "http://h", None)
    headers = CIMultiDict([("A", "1"), (name, value)])
    assert plan_of(provider, headers, central=False) == expected


@pytest.mark.parametrize(("kind", "sent"), [(ANTHROPIC, CLAUDE), (OPENAI, CHATGPT)])
def test_the_operators_keys_are_paid_for(kind: ProviderType, sent: str) -> None:
    # As it arrives: the client's own login is still in it, but does not go upstream.
    headers = CIMultiDict([("Authorization", f"Bearer {sent}")])
    assert plan_of(Provider(kind, kind.name, "http://h", None), headers, central=True) is None
