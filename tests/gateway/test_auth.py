"""Who a request is by: every order of credentials as a table, and what goes on to a provider."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aigw import clock
from aigw.errors import AuthError
from aigw.gateway.auth import (
    LOCAL,
    Caller,
    authenticate,
    strip_gateway_credentials,
    strip_query,
)
from aigw.store.key_changes import Issued, NewKey, create_key, delete_key, revoke_key, rotate_key
from aigw.store.key_ring import KeyRing
from aigw.store.keys import token
from tests.store.rows import SECOND, new_store

OWN = "sk-client-9876543210fedcba"
GOVERNANCE = "X-Coder-AI-Governance-Token"
SESSION = "Coder-Session-Token"


@dataclass
class Door:
    """A store with a key for each case, and the ring that a daemon has."""

    ring: KeyRing
    path: Path
    tokens: dict[str, str]
    issued: dict[str, Issued]

    def headers(self, given: dict[str, str] | list[tuple[str, str]]) -> CIMultiDict[str]:
        """Headers in which `{name}` stands for a key's token."""
        pairs = given.items() if isinstance(given, dict) else given
        return CIMultiDict((name, value.format_map(self.tokens)) for name, value in pairs)


def made(folder: Path) -> dict[str, Issued]:
    path, now = folder / "aigw.db", clock.now()
    expired = {"expired": now - SECOND}
    names = ("ann", "bob", "root", "expired", "revoked", "rotated", "deleted")
    issued = {
        name: create_key(
            path,
            NewKey(
                name=f"{name}'s key",
                user=f"{name}@x.org" if name == "ann" else name,
                expires_at=expired.get(name),
                is_admin=name == "root",
            ),
            now,
        )
        for name in names
    }
    revoke_key(path, "revoked's key", now)
    rotate_key(path, "rotated's key", now)
    revoke_key(path, "deleted's key", now)
    delete_key(path, "deleted's key")
    return issued


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    issued = made(folder)
    tokens = {name: each.token.reveal() for name, each in issued.items()}
    tokens["own"] = OWN
    tokens["foreign"] = token("a" * 10, "B" * 43).reveal()
    with closing(KeyRing(folder / "aigw.db", allow_open=True)) as ring:
        ring.open()
        yield Door(ring, folder / "aigw.db", tokens, issued)


@pytest.fixture
def open_ring(tmp_path: Path) -> Iterator[KeyRing]:
    with (
        new_store(tmp_path / "aigw.db") as store,
        closing(KeyRing(store.path, allow_open=True)) as ring,
    ):
        ring.open()
        yield ring


# What is sent, who it is by, whether they bring their own provider credential.
ACCEPTED: list[tuple[list[tuple[str, str]], str, bool]] = [
    # Each header by itself.
    ([("Authorization", "Bearer {ann}")], "ann", False),
    ([("X-Api-Key", "{ann}")], "ann", False),
    ([("api-key", "{ann}")], "ann", False),
    ([("X-Goog-Api-Key", "{ann}")], "ann", False),
    ([(GOVERNANCE, "{ann}")], "ann", True),
    # Spellings.
    ([("authorization", "bearer {ann}")], "ann", False),
    ([("AUTHORIZATION", "BEARER   {ann}  ")], "ann", False),
    ([("Authorization", "Bearer\t{ann}")], "ann", False),
    ([("Authorization", "{ann}")], "ann", False),
    ([("x-api-key", "  {ann} ")], "ann", False),
    ([(GOVERNANCE.lower(), " {ann}")], "ann", True),
    # The governance header before all others: then those hold the client's own.
    ([(GOVERNANCE, "{ann}"), ("Authorization", "Bearer {own}")], "ann", True),
    ([("Authorization", "Bearer {own}"), (GOVERNANCE, "{ann}")], "ann", True),
    ([(GOVERNANCE, "{ann}"), ("X-Api-Key", "{own}")], "ann", True),
    ([(GOVERNANCE, "{ann}"), ("Authorization", "Bearer {bob}")], "ann", True),
    ([(GOVERNANCE, "{ann}"), ("X-Api-Key", "{bob}")], "ann", True),
    # Authorization before X-Api-Key before the others, in whatever order they come.
    ([("X-Api-Key", "{bob}"), ("Authorization", "Bearer {ann}")], "ann", False),
    ([("api-key", "{bob}"), ("X-Api-Key", "{ann}")], "ann", False),
    ([("X-Goog-Api-Key", "{bob}"), ("api-key", "{ann}")], "ann", False),
    # A gateway key before what is none, wherever it is.
    ([("Authorization", "Bearer {own}"), ("X-Api-Key", "{ann}")], "ann", False),
    ([("Authorization", "Basic dXNlcjpwYXNz"), ("X-Api-Key", "{ann}")], "ann", False),
    ([("Authorization", "Bearer"), ("X-Api-Key", "{ann}")], "ann", False),
    ([("Authorization", ""), ("X-Api-Key", "{ann}")], "ann", False),
    ([("X-Api-Key", "{own}"), ("api-key", "{ann}")], "ann", False),
    ([("X-Api-Key", "{own}"), ("X-Goog-Api-Key", "{ann}")], "ann", False),
    ([(GOVERNANCE, ""), ("Authorization", "Bearer {ann}")], "ann", False),
    ([(GOVERNANCE, "{own}"), ("Authorization", "Bearer {ann}")], "ann", False),
    # A header twice.
    ([("X-Api-Key", "{own}"), ("X-Api-Key", "{ann}")], "ann", False),
    ([("Authorization", "Bearer {own}"), ("Authorization", "Bearer {ann}")], "ann", False),
    ([("X-Api-Key", "{ann}"), ("X-Api-Key", "{bob}")], "ann", False),
    # Coder's session header is not for this.
    ([(SESSION, "{bob}"), ("X-Api-Key", "{ann}")], "ann", False),
    ([("X-Api-Key", "{root}")], "root", False),
]


@pytest.mark.parametrize(("given", "who", "byok"), ACCEPTED, ids=str)
def test_accepted(door: Door, given: list[tuple[str, str]], who: str, byok: bool) -> None:
    caller = authenticate(door.headers(given), door.ring)
    key = door.issued[who].key
    assert caller == Caller(
        initiator_id=key.user,
        username=key.user,
        email="ann@x.org" if who == "ann" else "",
        api_key_id=key.id,
        key=key,
        byok=byok,
        is_admin=who == "root",
    )


# What is sent, the code of the error, and words of its message.
REFUSED: list[tuple[list[tuple[str, str]], str, tuple[str, ...]]] = [
    ([], "missing_gateway_key", ("none was sent", "ANTHROPIC_AUTH_TOKEN", "aigw keys create")),
    ([("Authorization", "Bearer")], "missing_gateway_key", ("none was sent",)),
    ([("Authorization", ""), ("X-Api-Key", "  ")], "missing_gateway_key", ("none was sent",)),
    ([(SESSION, "{ann}")], "missing_gateway_key", ("none was sent",)),
    (
        [("Authorization", "Bearer {own}")],
        "not_a_gateway_key",
        ("the token in Authorization is not a key", "OPENAI_API_KEY", GOVERNANCE),
    ),
    (
        [("X-Api-Key", "{own}")],
        "not_a_gateway_key",
        ("the token in the API key header is not a key", "ANTHROPIC_CUSTOM_HEADERS"),
    ),
    ([("Authorization", "Basic dXNlcjpwYXNz")], "not_a_gateway_key", ("Authorization",)),
    (
        [(GOVERNANCE, "abc-def"), ("Authorization", "Bearer {own}")],
        "not_a_gateway_key",
        (f"the token in {GOVERNANCE} is not a key", "aigw keys create"),
    ),
    (
        [("X-Api-Key", "aigw_")],
        "malformed_gateway_key",
        ("incomplete or mistyped", "API key header"),
    ),
    ([("X-Api-Key", "{ann}x")], "malformed_gateway_key", ("incomplete or mistyped",)),
    ([("Authorization", 'Bearer "{ann}"')], "malformed_gateway_key", ("without quotes",)),
    ([("Authorization", "Bearer {ann} {ann}")], "malformed_gateway_key", ("Authorization",)),
    ([("X-Api-Key", "aigw_\udce9\udcff_\udce9")], "malformed_gateway_key", ("API key header",)),
    ([("X-Api-Key", "{foreign}")], "unknown_gateway_key", ("is not known", "aigw keys create")),
    ([("X-Api-Key", "{rotated}")], "unknown_gateway_key", ("replaced by a new one",)),
    ([("X-Api-Key", "{deleted}")], "unknown_gateway_key", ("deleted",)),
    ([("X-Api-Key", "{expired}")], "expired_gateway_key", ("expired's key", "aigw keys rotate")),
    ([("X-Api-Key", "{revoked}")], "revoked_gateway_key", ("revoked's key", "was revoked on 20")),
    # The first key decides: a good one behind it does not hide that it fails.
    (
        [(GOVERNANCE, "{revoked}"), ("Authorization", "Bearer {ann}")],
        "revoked_gateway_key",
        (GOVERNANCE,),
    ),
]


@pytest.mark.parametrize(("given", "code", "words"), REFUSED, ids=str)
def test_refused(
    door: Door, given: list[tuple[str, str]], code: str, words: tuple[str, ...]
) -> None:
    headers = door.headers(given)
    with pytest.raises(AuthError) as caught:
        authenticate(headers, door.ring)
    assert (caught.value.status, caught.value.code) == (401, code)
    message = str(caught.value)
    for word in words:
        assert word in message
    for secret in (*door.tokens.values(), "dXNlcjpwYXNz", "abc-def"):
        assert secret not in message
        assert secret.rpartition("_")[2] not in message
    # Claude Code shows "Please run /login" in place of a message with this word.
    assert "x-api-key" not in message.lower()
    # It goes into JSON, and onto one line of a terminal.
    assert message.encode()
    assert message.isprintable()


def test_the_date_of_an_end_is_told(door: Door) -> None:
    with pytest.raises(AuthError) as caught:
        authenticate(door.headers({"X-Api-Key": "{expired}"}), door.ring)
    assert f"expired on {time.strftime('%Y-', time.gmtime())}" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "who"),
    [
        ([(SESSION, "{ann}")], "ann"),
        ([(SESSION, "{ann}"), ("Authorization", "Bearer {bob}")], "ann"),
        ([(SESSION, "{own}"), ("Authorization", "Bearer {bob}")], "bob"),
        ([("X-Api-Key", "{bob}")], "bob"),
    ],
    ids=str,
)
def test_the_read_api_takes_coders_session_header(
    door: Door, given: list[tuple[str, str]], who: str
) -> None:
    caller = authenticate(door.headers(given), door.ring, read_api=True)
    assert caller.api_key_id == door.issued[who].key.id
    assert not caller.byok


_VALUES = st.text(st.characters(blacklist_characters="\r\n\0"), max_size=30)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([GOVERNANCE, "Authorization", "X-Api-Key", "api-key", SESSION, "X"]),
            _VALUES
            | _VALUES.map("Bearer {}".format)
            | _VALUES.map("aigw_{}".format)
            | _VALUES.map("aigw_abcdefghij_{}".format),
        ),
        max_size=6,
    )
)
def test_whatever_is_sent_is_a_401_and_nothing_else(
    door: Door, pairs: list[tuple[str, str]]
) -> None:
    with pytest.raises(AuthError) as caught:
        authenticate(CIMultiDict(pairs), door.ring)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    "value", ["Bearer " + "a " * 200_000, " " * 500_000, "aigw_" * 100_000], ids=["a", "b", "c"]
)
def test_long_values_cost_little(door: Door, value: str) -> None:
    began = time.process_time()
    with pytest.raises(AuthError):
        authenticate(CIMultiDict({"Authorization": value}), door.ring)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": f"Bearer {OWN}"},
        {"X-Api-Key": "anything"},
        {GOVERNANCE: "anything", "Authorization": f"Bearer {OWN}"},
        {"X-Api-Key": token("a" * 10, "B" * 43).reveal()},
    ],
    ids=str,
)
def test_in_open_mode_everybody_is_the_local_user(
    open_ring: KeyRing, given: dict[str, str]
) -> None:
    caller = authenticate(CIMultiDict(given), open_ring)
    assert caller == LOCAL
    assert (caller.initiator_id, caller.username, caller.email) == ("local", "local", "")
    assert (caller.api_key_id, caller.key, caller.byok) == (None, None, False)
    assert caller.is_admin


def test_the_first_key_ends_that(open_ring: KeyRing, tmp_path: Path) -> None:
    assert authenticate(CIMultiDict(), open_ring) == LOCAL
    issued = create_key(tmp_path / "aigw.db", NewKey(name="first", user="ann"), clock.now())
    with pytest.raises(AuthError, match="needs a key"):
        authenticate(CIMultiDict(), open_ring)
    headers = CIMultiDict({"X-Api-Key": issued.token.reveal()})
    assert authenticate(headers, open_ring).username == "ann"


# What is sent, and what of it may go to a provider.
STRIPPED: list[tuple[list[tuple[str, str]], list[tuple[str, str]]]] = [
    # With the gateway's credential none of the client's.
    ([("Authorization", "Bearer {ann}")], []),
    ([("X-Api-Key", "{ann}")], []),
    ([("Authorization", "Bearer {own}"), ("X-Api-Key", "{ann}")], []),
    (
        [
            ("X-Api-Key", "{ann}"),
            ("api-key", "{own}"),
            ("X-Goog-Api-Key", "{own}"),
            (SESSION, "{own}"),
        ],
        [],
    ),
    # With the client's own just that.
    (
        [(GOVERNANCE, "{ann}"), ("Authorization", "Bearer {own}")],
        [("Authorization", "Bearer {own}")],
    ),
    ([(GOVERNANCE, "{ann}"), ("X-Api-Key", "{own}")], [("X-Api-Key", "{own}")]),
    ([(GOVERNANCE, "{ann}"), ("api-key", "{own}"), (SESSION, "x")], [("api-key", "{own}")]),
    # A gateway key in any header, this caller's or another's, goes nowhere.
    ([(GOVERNANCE, "{ann}"), ("Authorization", "Bearer {ann}")], []),
    ([(GOVERNANCE, "{ann}"), ("Authorization", "Bearer {bob}")], []),
    ([(GOVERNANCE, "{ann}"), ("Cookie", "a=1; key={ann}")], []),
    ([("X-Api-Key", "{ann}"), ("X-Other", "{ann}"), ("X-Fine", "1")], [("X-Fine", "1")]),
    ([("X-Api-Key", "{ann}"), ("X-Other", "aigw_abcdefghij_cut")], []),
    (
        [(GOVERNANCE, "{ann}"), ("X-Two", "1"), ("x-two", "{bob}"), ("X-Two", "2")],
        [("X-Two", "1"), ("X-Two", "2")],
    ),
    # What only looks a little like one stays.
    (
        [("X-Api-Key", "{ann}"), ("User-Agent", "aigw/1 aigw_test"), ("X-Aigw_", "aigw_")],
        [("User-Agent", "aigw/1 aigw_test"), ("X-Aigw_", "aigw_")],
    ),
]


@pytest.mark.parametrize(("given", "left"), STRIPPED, ids=str)
def test_what_goes_to_a_provider(
    door: Door, given: list[tuple[str, str]], left: list[tuple[str, str]]
) -> None:
    headers = door.headers([("Accept", "*/*"), *given, ("X-Last", "z")])
    strip_gateway_credentials(headers, authenticate(headers, door.ring))
    expected = door.headers([("Accept", "*/*"), *left, ("X-Last", "z")])
    assert sorted((n.lower(), v) for n, v in headers.items()) == sorted(
        (n.lower(), v) for n, v in expected.items()
    )


def test_in_open_mode_the_clients_own_goes_on(door: Door) -> None:
    headers = door.headers(
        [("Authorization", "Bearer {own}"), ("X-Api-Key", "{foreign}"), (GOVERNANCE, "x")]
    )
    strip_gateway_credentials(headers, LOCAL)
    assert list(headers.items()) == [("Authorization", f"Bearer {OWN}")]


@given(st.data())
def test_no_gateway_key_ever_goes_to_a_provider(door: Door, data: st.DataObject) -> None:
    names = [GOVERNANCE, "Authorization", "X-Api-Key", "api-key", "Cookie", "X-Any", SESSION]
    values = [*door.tokens.values(), "Bearer {}", "k={}; other", "x{}"]
    pairs = data.draw(
        st.lists(
            st.tuples(st.sampled_from(names), st.sampled_from(values), st.sampled_from(values)),
            max_size=8,
        )
    )
    headers = CIMultiDict((name, outer.format(inner)) for name, outer, inner in pairs)
    key = door.issued["ann"].key
    for caller in (
        LOCAL,
        Caller("a", "a", "", key.id, key),
        Caller("a", "a", "", key.id, key, True),
    ):
        left = headers.copy()
        strip_gateway_credentials(left, caller)
        text = repr(list(left.items()))
        for name, issued in door.tokens.items():
            assert name == "own" or issued not in text


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("?a=1&b=%20", "?a=1&b=%20"),
        ("?key={ann}", ""),
        ("?a=1&key={ann}&b=2", "?a=1&b=2"),
        ("key={ann}&&a", "&a"),
        ("?key=sk-1", "?key=sk-1"),
    ],
)
def test_queries(door: Door, query: str, left: str) -> None:
    assert strip_query(query.format_map(door.tokens)) == left


def test_printing_a_caller_shows_no_secret(door: Door) -> None:
    caller = authenticate(door.headers({"X-Api-Key": "{ann}"}), door.ring)
    for text in (repr(caller), str(caller)):
        assert door.tokens["ann"] not in text
        assert "secret" not in text
