"""`aigw budgets` and `aigw groups`: what is stored, shown, warned of and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aigw import clock
from aigw.cli.complete_line import candidates
from aigw.pricing.budget import Budget
from aigw.pricing.budget_table import list_rules
from aigw.records import rfc3339
from aigw.store.key_changes import NewKey, create_key
from aigw.store.rollup import roll_up
from tests.cli.reading import Command
from tests.store.rows import Store, end, start


def made(command: Command, *words: str) -> Budget:
    """Set a budget; as it is stored."""
    assert command.run("budgets", "set", *words) == 0, command.err
    assert command.out == ""
    return max(list_rules(command.database).budgets, key=lambda budget: budget.updated_at)


def spend(store: Store, number: int, micros: int, tokens: int = 10, **fields: Any) -> None:
    now = clock.now()
    begun = start(f"i-{number}", now, **fields)
    store.write(
        begun,
        end(
            begun.interception_id,
            now,
            input_tokens=tokens,
            output_tokens=0,
            cache_read_input_tokens=0,
            cache_write_input_tokens=0,
            cost_micros=micros,
        ),
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("everyone", "--usd", "50"), ("everyone", "*", "month", "micros", 50_000_000)),
        (("users", "*", "--usd", "0"), ("user", "*", "month", "micros", 0)),
        (("user", "local", "--usd", "$1,000,000"), ("user", "local", "month", "micros", 10**12)),
        (("user", "local", "--usd", "0.000001"), ("user", "local", "month", "micros", 1)),
        (("client", "claude code", "--tokens", "1.5M"),
         ("client", "Claude Code", "month", "tokens", 1_500_000)),
        (("session", "*", "--tokens", "500k", "--per", "day"),
         ("session", "*", "day", "tokens", 500_000)),
    ],
)  # fmt: skip
def test_what_is_stored(
    command: Command, words: tuple[str, ...], expected: tuple[object, ...]
) -> None:
    found = made(command, *words)
    assert (found.scope, found.subject, found.period, found.unit, found.amount) == expected
    assert command.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("everyone",), "give either --usd or --tokens"),
        (("everyone", "--usd", "1", "--tokens", "1"), "give either --usd or --tokens"),
        (("everyone", "--usd", "1000000.01"), "is not an amount of dollars"),
        (("everyone", "--usd", "-1"), "is not an amount of dollars"),
        (("everyone", "--usd", "NaN"), "is not an amount of dollars"),
        (("everyone", "--usd", "1e99999999"), "is not an amount of dollars"),
        (("everyone", "--usd", "0.0000001"), "is not an amount of dollars"),
        (("everyone", "--tokens", "1.5"), "is not a number of tokens"),
        (("everyone", "--tokens", "many"), "is not a number of tokens"),
        (("everyone", "bob", "--usd", "1"), "everyone takes no NAME"),
        (("user", "--usd", "1"), "user needs a NAME, or '*'"),
        (("group", "*", "--usd", "1"), "needs the NAME of one group"),
        (("user", "*", "--usd", "1", "--shared"), "use `everyone --shared`"),
        (("robot", "x", "--usd", "1"), "'robot' is not a scope"),
        (("user", "a\x1b[2Jb", "--usd", "1"), "visible characters"),
        (("everyone", "--usd", "1", "--per", "year"), "use day, week or month"),
        (("everyone", "--usd", "1", "--timezone", "Mars/Olympus"), "is not a time zone"),
    ],
)
def test_what_is_refused(command: Command, words: tuple[str, ...], said: str) -> None:
    assert command.run("budgets", "set", *words) == 2
    assert said in command.err
    assert "\x1b" not in command.err
    assert list_rules(command.database).budgets == ()


def test_setting_again_changes_it(command: Command) -> None:
    first = made(command, "everyone", "--usd", "5")
    second = made(command, "everyone", "--usd", "6", "--timezone", "Europe/Berlin")
    assert (second.id, second.amount, second.time_zone) == (first.id, 6_000_000, "Europe/Berlin")
    made(command, "everyone", "--usd", "6", "--per", "day")
    made(command, "everyone", "--usd", "6", "--shared")
    made(command, "everyone", "--tokens", "6")
    assert len(list_rules(command.database).budgets) == 4


def test_the_default_period_is_the_configured_one(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODER_AI_BUDGET_PERIOD", "week")
    assert made(command, "everyone", "--usd", "5").period == "week"


def test_keys_are_named_and_kept_by_id(command: Command) -> None:
    issued = create_key(command.database, NewKey(name="laptop", user="ada"), clock.now())
    token = issued.token.reveal()
    for name in ("laptop", issued.key.id, token):
        assert made(command, "key", name, "--usd", "5").subject == issued.key.id
        assert command.err == "key laptop: US$5.00 per month (UTC)\n"
    assert command.run("budgets", "set", "key", "desktop", "--usd", "5") == 1
    assert "there is no key 'desktop'" in command.err
    wrong = token[:-1] + ("a" if token[-1] != "a" else "b")
    assert command.run("budgets", "set", "key", f"{wrong}x", "--usd", "5") == 1
    assert token[20:-2] not in command.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("user", "nobody"), "no key is of the user 'nobody'"),
        (("group", "dev"), "the group 'dev' has no members yet"),
        (("client", "Claude Cod"), "(did you mean Claude Code?)"),
        (("session", "s-0"), "the session 's-0' is not recorded yet"),
    ],
)
def test_names_that_nobody_knows_are_told_of(
    command: Command, words: tuple[str, ...], said: str
) -> None:
    assert command.run("budgets", "set", *words, "--usd", "5") == 0
    assert command.err.startswith("Warning: ")
    assert said in command.err


def test_what_is_recorded_is_known(command: Command, store: Store) -> None:
    store.whole(clock.now(), initiator_id="local", client_session_id="s-1")
    for words in (("user", "local"), ("session", "s-1"), ("client", "Claude Code")):
        made(command, *words, "--usd", "5")
        assert "Warning" not in command.err


def test_a_retention_shorter_than_the_period_is_told_of(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODER_AIBRIDGE_RETENTION", "7d")
    made(command, "everyone", "--usd", "5", "--per", "week")
    assert "Warning" not in command.err
    made(command, "everyone", "--usd", "5")
    assert "records are kept for less than a month" in command.err


def test_lists(command: Command) -> None:
    assert command.run("budgets", "list") == 0
    assert (command.out, "there are no budgets" in command.err) == ("", True)
    made(command, "everyone", "--usd", "5.5")
    made(command, "group", "dev", "--tokens", "2M", "--shared", "--per", "day")
    assert command.lines("budgets", "list") == [
        "for                 amount            per    time zone",
        "each user           US$5.50           month  UTC",
        "group dev together  2,000,000 tokens  day    UTC",
    ]
    first, second = command.json("budgets", "list", "--json")
    assert first | {"updated_at": ""} == {
        "id": 1,
        "scope": "everyone",
        "subject": "*",
        "name": "*",
        "shared": False,
        "period": "month",
        "time_zone": "UTC",
        "unit": "micros",
        "amount": 5_500_000,
        "updated_at": "",
    }
    assert (second["shared"], second["unit"], second["amount"]) == (True, "tokens", 2_000_000)


def test_shows_what_is_spent_and_left(command: Command, store: Store) -> None:
    made(command, "everyone", "--usd", "5")
    made(command, "everyone", "--usd", "8", "--shared")
    made(command, "user", "ada", "--usd", "0")
    made(command, "user", "ada", "--tokens", "100", "--per", "day")
    spend(store, 1, 4_000_000, initiator_id="ada")
    spend(store, 2, 5_129_999, initiator_id="bob")
    spend(store, 3, 9_000_000, initiator_id="bob", plan="claude")
    shown = command.lines("budgets", "show")
    assert shown[0].startswith("each user: US$5.00 per month (UTC), resets 2")
    assert shown[1:3] == [
        "  bob  US$5.12 spent  102 %  US$0.00 left",
        "  ada  US$4.00 spent  80 %   US$1.00 left",
    ]
    assert "  all  US$9.12 spent  114 %  US$0.00 left" in shown
    assert "  ada  US$4.00 spent  blocked  US$0.00 left" in shown
    assert "  ada  10 tokens spent  10 %  90 tokens left" in shown
    (money, tokens, shared) = command.json("budgets", "show", "user", "ada", "--json")
    assert shared["pots"] == [{"holder": "", "name": "all", "spent": 9_129_999, "left": 0}]
    assert money["pots"] == [{"holder": "ada", "name": "ada", "spent": 4_000_000, "left": 0}]
    assert tokens["pots"][0]["left"] == 90
    assert tokens["period_start"] <= rfc3339(clock.now()) < tokens["resets_at"]
    assert len(command.json("budgets", "show", "everyone", "--json")) == 2
    assert command.run("budgets", "show", "key") == 0
    assert "no budget holds that" in command.err


def test_what_one_has_of_a_budget_for_each(command: Command, store: Store) -> None:
    made(command, "user", "*", "--usd", "5")
    made(command, "session", "*", "--tokens", "100")
    spend(store, 1, 4_000_000, initiator_id="ada", client_session_id="s-1")
    spend(store, 2, 1_000_000, initiator_id="bob", client_session_id="s-2")
    assert command.lines("budgets", "show", "user", "ada")[1:] == [
        "  ada  US$4.00 spent  80 %  US$1.00 left"
    ]
    (session,) = command.json("budgets", "show", "session", "s-2", "--json")
    assert [pot["spent"] for pot in session["pots"]] == [10]
    (unknown,) = command.json("budgets", "show", "session", "s-3", "--json")
    assert [pot["spent"] for pot in unknown["pots"]] == [0]


def test_all_that_holds_a_user(command: Command, store: Store) -> None:
    assert command.run("groups", "add", "dev", "ada", "bob") == 0
    made(command, "group", "dev", "--usd", "9")
    made(command, "group", "dev", "--usd", "50", "--shared")
    made(command, "everyone", "--usd", "5")
    made(command, "everyone", "--tokens", "100", "--per", "day")
    made(command, "client", "*", "--usd", "1")
    spend(store, 1, 4_000_000, initiator_id="ada")
    spend(store, 2, 1_000_000, initiator_id="bob")
    lines = command.lines("budgets", "show", "user", "ada")
    assert [line for line in lines if line.startswith("  ")] == [
        "  ada  US$4.00 spent  44 %  US$5.00 left",
        "  ada  10 tokens spent  10 %  90 tokens left",
        "  all  US$5.00 spent  10 %  US$45.00 left",
    ]
    (line,) = [
        line
        for line in command.lines("budgets", "show", "user", "eve")
        if "eve" in line and "$" in line
    ]
    assert line == "  eve  US$0.00 spent  0 %  US$5.00 left"


def test_what_has_no_price_is_told_of(command: Command, store: Store) -> None:
    made(command, "everyone", "--usd", "5")
    begun = start("i-1", clock.now())
    store.write(begun, end("i-1", clock.now(), unpriced=3))
    for _ in range(2):
        assert command.run("budgets", "show") == 0
        assert command.err == "3 responses have no known price and count for no dollars\n"
        roll_up(store.connection)
    made(command, "user", "ada", "--tokens", "5")
    command.lines("budgets", "show", "user")


def test_sessions_are_shown_with_their_users(command: Command, store: Store) -> None:
    made(command, "session", "*", "--usd", "5")
    spend(store, 1, 1_000_000, initiator_id="ada", client_session_id="s\x1b[2J1")
    # Nobody calls this one a session, so no budget of sessions holds it.
    spend(store, 2, 1_000_000, initiator_id="ada", client_session_id=None)
    (head, line) = command.lines("budgets", "show")
    assert head.startswith("each session: ")
    assert line == "  s\\e[2J1 of ada  US$1.00 spent  20 %  US$4.00 left"


def test_long_lists_are_cut(command: Command, store: Store) -> None:
    made(command, "everyone", "--usd", "5")
    for number in range(25):
        spend(store, number, 1000 + number, initiator_id=f"user{number:02}")
    lines = command.lines("budgets", "show")
    assert len(lines) == 22
    assert lines[1].startswith("  user24 ")
    assert lines[-1] == "  and 5 more, shown by --json"


def test_unset(command: Command) -> None:
    for words in (("--usd", "5"), ("--usd", "5", "--per", "day"), ("--tokens", "5"),
                  ("--usd", "5", "--shared")):  # fmt: skip
        made(command, "everyone", *words)
    made(command, "user", "local", "--usd", "5")
    assert command.run("budgets", "unset", "everyone", "--shared") == 0
    assert command.run("budgets", "unset", "everyone", "--per", "day") == 0
    assert command.run("budgets", "unset", "everyone", "--tokens") == 0
    assert len(list_rules(command.database).budgets) == 2
    assert command.run("budgets", "unset", "user") == 2
    assert command.run("budgets", "unset", "user", "bob") == 1
    assert "there is no such budget" in command.err
    assert command.run("budgets", "unset", "everyone") == 0
    assert [budget.subject for budget in list_rules(command.database).budgets] == ["local"]


def test_the_budget_of_a_key_that_is_gone_can_be_removed(command: Command) -> None:
    from aigw.store.key_changes import delete_key, revoke_key

    issued = create_key(command.database, NewKey(name="laptop", user="ada"), clock.now())
    made(command, "key", "laptop", "--usd", "5")
    revoke_key(command.database, "laptop", clock.now())
    delete_key(command.database, "laptop")
    assert command.lines("budgets", "list")[1].startswith(f"key {issued.key.id} ")
    assert command.run("budgets", "unset", "key", issued.key.id) == 0
    assert list_rules(command.database).budgets == ()


def test_groups(command: Command) -> None:
    assert command.run("groups", "list") == 0
    assert "there are no groups" in command.err
    assert command.run("groups", "add", "dev", "ada", "bob") == 0
    assert "ada is in the group dev" in command.err
    assert command.run("groups", "add", "dev", "ada") == 0
    assert "ada was already in the group dev" in command.err
    assert command.lines("groups", "list") == ["group  members", "dev    ada, bob"]
    assert command.json("groups", "list", "--json") == {"dev": ["ada", "bob"]}
    assert command.run("groups", "remove", "dev", "eve") == 1
    assert "not in the group" in command.err
    assert command.run("groups", "remove", "dev", "ada", "bob") == 0
    assert command.json("groups", "list", "--json") == {}
    for words in (("*", "ada"), ("dev", "*"), ("dev", "\x1b[2J")):
        assert command.run("groups", "add", *words) == 2


def test_completion_knows_scopes_and_names() -> None:
    assert [c.value for c in candidates(["budgets"], "")] == ["set", "list", "show", "unset"]
    assert {c.value for c in candidates(["budgets", "set"], "")} == {
        "everyone", "group", "user", "key", "client", "session",
    }  # fmt: skip
    assert [c.value for c in candidates(["budgets", "set", "everyone", "--per"], "")] == [
        "day",
        "week",
        "month",
    ]


def test_reading_makes_no_database(command: Command, tmp_path: Path) -> None:
    command.database = tmp_path / "none.db"
    for words in (("budgets", "list"), ("budgets", "show"), ("groups", "list")):
        assert command.run(*words) == 0
        assert f"`aigw {words[0]} {'add' if words[0] == 'groups' else 'set'} " in command.err
    assert not command.database.exists()
