"""A key's form, what it allows, and the patterns of models."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.store.keys import (
    GatewayKey,
    KeyState,
    hash_secret,
    holds_key,
    new_id,
    new_secret,
    parse_token,
    token,
)
from tests.store.rows import NOON

KEY = GatewayKey(
    id="abcdefghij", name="ci", user="ci", secret_hash=hash_secret("s"), created_at=NOON
)


def test_a_token_is_its_parts() -> None:
    key_id, secret = new_id(set()), new_secret()
    made = token(key_id, secret).reveal()
    assert re.fullmatch(r"aigw_[a-z2-7]{10}_[A-Za-z0-9]{43}", made)
    assert parse_token(made) == (key_id, secret)
    assert holds_key(made)


def test_no_two_are_alike() -> None:
    assert len({new_id(set()) for _ in range(500)}) == 500
    assert len({new_secret() for _ in range(500)}) == 500


WHOLE = "aigw_abcdefghij_" + "A" * 43


@pytest.mark.parametrize(
    "text",
    [
        "",
        "aigw_",
        "aigw_abcdefghij",
        WHOLE[:-1],
        WHOLE + "A",
        WHOLE + "\n",
        " " + WHOLE,
        WHOLE.upper(),
        WHOLE[:-1] + "_",
        WHOLE[:-1] + "\u0661",
        WHOLE[:-1] + "\udce9",
        "sk-ant-api03-" + "A" * 80,
        "aigw_" * 10_000,
    ],
)
def test_what_has_not_the_form_of_a_key(text: str) -> None:
    assert parse_token(text) is None


@given(st.text())
def test_any_text_is_a_token_or_none(text: str) -> None:
    parse_token(text)
    parse_token(f"aigw_abcdefghij_{text}")
    holds_key(text)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (WHOLE, True),
        (f"Bearer {WHOLE}", True),
        (f"session={WHOLE}; x=1", True),
        ("aigw_abcdefghij_", True),
        ("aigw_abcdefghi_A", False),
        ("aigw", False),
        ("aigw/1.0 (aigw_test)", False),
        ("", False),
    ],
)
def test_keys_in_other_text(text: str, held: bool) -> None:
    assert holds_key(text) is held


def test_the_secret_alone_is_the_proof() -> None:
    assert KEY.has_secret("s")
    assert not KEY.has_secret("S")
    assert not KEY.has_secret("")


def test_the_hash_is_not_printed() -> None:
    assert "secret" not in repr(KEY)
    assert repr(KEY.secret_hash) not in repr(KEY)


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "state"),
    [
        (None, None, KeyState.ACTIVE),
        (NOON + 1, None, KeyState.ACTIVE),
        (NOON, None, KeyState.EXPIRED),
        (NOON - 1, NOON - 2, KeyState.REVOKED),
        (None, NOON + 1, KeyState.REVOKED),
    ],
)
def test_states(expires_at: int | None, revoked_at: int | None, state: KeyState) -> None:
    assert replace(KEY, expires_at=expires_at, revoked_at=revoked_at).state(NOON) is state


def test_providers() -> None:
    assert KEY.allows_provider("openai")
    only = replace(KEY, providers=("openai", "mine"))
    assert only.allows_provider("mine")
    assert not only.allows_provider("anthropic")
    assert not only.allows_provider("openai-2")


def test_models() -> None:
    assert KEY.allows_model("o3")
    assert KEY.allows_model("")
    only = replace(KEY, models=("gpt-5*", "o3"))
    assert [only.allows_model(m) for m in ("GPT-5-mini", "O3", "o3-pro", "gpt-4", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
