from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aigw.actor_names import ACTOR_NAMES
from aigw.gateway.actor import ActorHeaders

ID, USERNAME = ACTOR_NAMES
OTHERS = [("User-Agent", "x"), ("X-AI-Bridge", "kept"), ("X-Actor", "one"), ("X-Actor", "two")]


def sent(actor: ActorHeaders, *who: str, given: list[tuple[str, str]] = OTHERS) -> dict[str, str]:
    """The headers that `actor` adds to those of a client."""
    headers = CIMultiDict(given)
    actor.apply(headers, *who)
    pairs = list(headers.items())
    assert [pair for pair in pairs if pair in OTHERS] == OTHERS
    return dict(pair for pair in pairs if pair not in OTHERS)


def test_the_defaults() -> None:
    actor = ActorHeaders(ID, USERNAME, "", send=True)
    assert sent(actor, "u-1", "ann", "ann@example.com") == {ID: "u-1", USERNAME: "ann"}


def test_names_of_ones_own() -> None:
    actor = ActorHeaders("X-Id", "", "X-Mail", send=True)
    assert sent(actor, "u-1", "ann", "ann@example.com") == {
        "X-Id": "u-1",
        "X-Mail": "ann@example.com",
    }


def test_what_is_not_known_is_not_sent() -> None:
    actor = ActorHeaders(ID, USERNAME, "X-Mail", send=True)
    assert sent(actor, "u-1", "", "") == {ID: "u-1"}
    assert sent(actor, "u-1") == {ID: "u-1"}


@pytest.mark.parametrize("send", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        ID,
        USERNAME,
        ID.lower(),
        "X-Ai-Bridge-Actor-Metadata-Team",
        "X-AI-BRIDGE-ACTOR",
        "X_AI_Bridge_Actor_ID",
        "X-AI-Bridge-Actor_Id",
        "X-Mail",
        "x-mail",
        "X_Mail",
    ],
)
def test_a_client_cannot_name_itself(name: str, send: bool) -> None:
    actor = ActorHeaders(ID, USERNAME, "X-Mail", send=send)
    given = [(name, "root"), *OTHERS, (name.upper(), "root"), (name, "")]
    found = sent(actor, "u-1", given=given)
    assert found == ({ID: "u-1"} if send else {})


def test_an_own_value_takes_the_place_of_the_clients() -> None:
    actor = ActorHeaders(ID, USERNAME, "X-Mail", send=True)
    given = [*OTHERS, ("x-mail", "root@example.com"), ("X-MAIL", "other@example.com")]
    assert sent(actor, "u-1", "ann", "ann@example.com", given=given)["X-Mail"] == "ann@example.com"


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("ann+tag@example.com", "ann+tag@example.com"),
        ("J\u00fcrgen M", "J%C3%BCrgen%20M"),
        ("100%", "100%25"),
        ("a\r\nX-Admin: 1", "a%0D%0AX-Admin:%201"),
        ("\0\t\x7f", "%00%09%7F"),
        (" a ", "%20a%20"),
        ("\u540d", "%E5%90%8D"),
        ("lone \ud800", "lone%20?"),
    ],
)
def test_values_are_fit_for_a_header(value: str, header: str) -> None:
    assert sent(ActorHeaders(ID, "", "", send=True), value) == {ID: header}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_value_comes_back_and_is_visible_ascii(value: str) -> None:
    header = sent(ActorHeaders(ID, "", "", send=True), value)[ID]
    assert unquote(header) == value
    assert all("!" <= character <= "~" for character in header)
