"""`aigw prices`: what is listed, explained, set, imported and refreshed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aigw.cli.complete_line import candidates
from aigw.cli.main import main
from aigw.store.price_changes import list_prices
from aigw.store.prices import StoredPrice
from tests.cli.reading import Command
from tests.home import use_home
from tests.pricing.data import price_list
from tests.pricing.test_refresh import sending, serving
from tests.store.rows import DAY, NOON, end, new_store, start

CLAUDE = "claude-sonnet-4-5"
FIELDS = {
    "provider", "model", "input_price", "output_price", "cache_read_price", "cache_write_price",
    "cache_write_1h_price", "source", "updated_at",
}  # fmt: skip


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """A command on a database that does not exist yet."""
    use_home(monkeypatch, tmp_path / "home")
    return Command(tmp_path / "data" / "aigw.db", capsys)


def stored(command: Command) -> list[StoredPrice]:
    return list_prices(command.database)


def use(command: Command, *models: tuple[str, str], unpriced: int = 0) -> None:
    """Have models been used, each once more than the one before."""
    command.database.parent.mkdir(parents=True, exist_ok=True)
    with new_store(command.database) as store:
        for times, (provider, model) in enumerate(models, start=1):
            for number in range(times):
                key = f"{model}-{number}"
                store.write(start(key, NOON + DAY, provider_name=provider, model=model))
                store.write(end(key, NOON + DAY, unpriced=unpriced))


# --- set and unset


def test_a_price_is_set_in_dollars_and_kept_in_micro_dollars(command: Command) -> None:
    words = ("--input", "3.00", "--output", "$15", "--cache-read", "0.30", "--cache-write-1h", "6")
    assert command.run("prices", "set", "my-model*", *words, "--provider", "openai") == 0
    assert command.out == ""
    assert command.err == (
        "my-model* at openai: input $3.00, output $15.00, cache read $0.30, 1h cache write $6.00 "
        "per million tokens (set)\n"
    )
    (price,) = stored(command)
    assert (price.provider, price.model) == ("openai", "my-model*")
    assert (price.input_price, price.output_price) == (3_000_000, 15_000_000)
    assert (price.cache_read_price, price.cache_write_price) == (300_000, None)
    assert price.cache_write_1h_price == 6_000_000


def test_micro_dollars_and_the_finest_figure(command: Command) -> None:
    assert command.run("prices", "set", "a", "--input", "2500001", "--micros") == 0
    assert command.run("prices", "set", "b", "--input", "2.500001") == 0
    assert [price.input_price for price in stored(command)] == [2_500_001] * 2
    assert "$2.500001" in command.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["m"], "give --input, --output or both"),
        (["m", "--cache-read", "1"], "give --input, --output or both"),
        (["m", "--input", "1e3"], "give dollars such as 3 or 0.30"),
        (["m", "--input", "-1"], ""),
        (["m", "--input", "nan"], "give dollars"),
        (["m", "--input", ""], "give dollars"),
        (["m", "--input", "1,5"], "give dollars"),
        (["m", "--input", "0.0000001"], "six decimals at most"),
        (["m", "--input", "1.5", "--micros"], "whole ones at most"),
        (["m", "--input", "1000000.01"], "per million tokens (--micros takes micro-dollars)"),
        (["", "--input", "1"], "MODEL ''"),
        (["a\x1bb", "--input", "1"], "visible characters"),
        (["m" * 257, "--input", "1"], "1 to 256"),
        (["m", "--input", "1", "--provider", " x"], "--provider"),
    ],
)
def test_what_is_no_price(words: list[str], problem: str, command: Command) -> None:
    assert command.run("prices", "set", *words) == 2
    assert problem in command.err
    assert "\x1b" not in command.err
    assert not command.database.exists()


def test_setting_again_replaces_and_says_so(command: Command) -> None:
    command.run("prices", "set", "GPT-5", "--input", "1")
    assert command.run("prices", "set", "gpt-5", "--output", "2") == 0
    assert "it was GPT-5: input $1.00 per million tokens (set)" in command.err
    (price,) = stored(command)
    assert (price.model, price.input_price, price.output_price) == ("gpt-5", None, 2_000_000)


def test_an_unknown_provider_is_warned_of(command: Command) -> None:
    assert command.run("prices", "set", "m", "--input", "1", "--provider", "opnai") == 0
    assert "Warning: provider opnai" in command.err


def test_unset_forgets_just_one(command: Command) -> None:
    for words in ([], ["--provider", "openai"]):
        command.run("prices", "set", "m", "--input", "1", *words)
    assert command.run("prices", "unset", "M", "--provider", "openai") == 0
    assert "no longer: m at openai" in command.err
    assert [price.provider for price in stored(command)] == [""]
    assert command.run("prices", "unset", "m", "--provider", "openai") == 1
    assert "there is one with no provider" in command.err
    assert command.run("prices", "unset", "other") == 1
    assert "aigw prices list" in command.err


# --- list


def test_a_list_of_nothing(command: Command) -> None:
    assert command.run("prices", "list") == 0
    assert command.out == ""
    assert "no price was given" in command.err


def test_the_list_has_what_was_given_and_what_was_used(command: Command) -> None:
    use(command, ("gone", "gpt-5"), ("openai", "llama3"), ("anthropic", CLAUDE))
    command.run("prices", "set", "gpt-*", "--input", "1", "--provider", "azure")
    assert command.run("prices", "list") == 0
    _, heading, given, *used = command.out.splitlines()
    assert heading.split()[:2] == ["provider", "model"]
    assert given.split() == ["azure", "gpt-*", "$1.00", "-", "-", "-", "-", "prices", "set"]
    assert used[0].split() == [
        "anthropic", CLAUDE, "$3.00", "$15.00", "$0.30", "$3.75", "$6.00", "3", "genai-prices", "0.2.3",
    ]  # fmt: skip
    assert used[1].split() == ["openai", "llama3", "-", "-", "-", "-", "-", "2", "unpriced"]
    assert used[2].split() == ["gone", "gpt-5", "-", "-", "-", "-", "-", "1", "unpriced"]
    assert "2 of 4 without a price, used by 3 requests" in command.err
    assert "openai: genai-prices does not have it in the price list of OpenAI" in command.err
    assert "no provider 'gone' is configured" in command.err
    assert command.run("prices", "list", "--provider", "openai") == 0
    assert len(command.out.splitlines()) == 3


def test_the_list_as_json_has_the_reference_shape_and_can_be_imported(
    command: Command, tmp_path: Path
) -> None:
    use(command, ("openai", "llama3"), ("anthropic", CLAUDE), unpriced=1)
    command.run("prices", "set", "gpt-*", "--input", "1")
    assert command.run("prices", "list", "--json") == 0
    given, claude, llama = json.loads(command.out)
    assert given.keys() == FIELDS | {"requests", "unpriced", "reason"}
    assert (given["provider"], given["input_price"], given["source"]) == (
        "",
        1_000_000,
        "prices set",
    )
    assert (claude["input_price"], claude["cache_read_price"]) == (3_000_000, 300_000)
    assert (claude["requests"], claude["unpriced"], claude["reason"]) == (2, 2, None)
    assert (llama["input_price"], llama["source"]) == (None, "")
    assert "price list of OpenAI" in llama["reason"]
    file = tmp_path / "prices.json"
    file.write_text(json.dumps([given, claude]))
    assert command.run("prices", "import", str(file)) == 0
    assert [price.model for price in stored(command)] == ["gpt-*", CLAUDE]


def test_hostile_names_do_nothing_to_the_terminal(command: Command) -> None:
    use(command, ("openai", "[red]x\x1b[2J\u202e\n"))
    for words in (["list"], ["list", "--json"], ["show", "[red]x\x1b[2J\u202e"]):
        command.run("prices", *words)
        text = (command.out + command.err).replace("\\u001b", "")
        if "--json" not in words:
            assert "\x1b" not in text
            assert "\u202e" not in text
        assert "[red]x" in text


# --- show


def test_show_explains_a_list_price(command: Command) -> None:
    assert command.run("prices", "show", "gpt-5.4") == 0
    lines = [line.split() for line in command.out.splitlines()]
    assert ["gpt-5.4", "at", "openai"] in lines
    assert ["price", "genai-prices", "0.2.3:", "openai/gpt-5.4"] in lines
    assert ["context", "1,050,000", "tokens"] in lines
    assert ["standard", "$2.50", "$15.00", "$0.25", "-", "-"] in lines
    assert ["standard,", "input", "above", "272,000", "$5.00", "$22.50", "$0.50", "-", "-"] in lines
    assert ["flex", "$1.25", "$7.50", "$0.13", "-", "-"] in lines
    assert ["web", "searches:", "$10.00", "per", "thousand"] in lines


def test_show_explains_which_of_several_applies(command: Command, tmp_path: Path) -> None:
    command.run("prices", "set", "gpt-5*", "--input", "9")
    assert command.run("prices", "show", "gpt-5", "--provider", "openai") == 0
    assert "prices set: gpt-5* at any provider" in command.out
    assert "openai/gpt-5: $1.25 in, $10.00 out" in command.out
    config = tmp_path / "c.toml"
    config.write_text('[[prices]]\nmodel = "gpt-5"\nprovider = "openai"\ninput = 7000000\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODER_CONFIG_PATH", str(config))
        assert command.run("prices", "show", "gpt-5", "--provider", "openai") == 0
        assert f"configuration: gpt-5 at openai (file {config}:prices[0])" in command.out
        assert "not used  prices set: gpt-5* at any provider" in command.out
        assert command.run("prices", "show", "gpt-5", "--provider", "openai", "--json") == 0
    (shown,) = json.loads(command.out)
    assert shown.keys() > FIELDS
    assert (shown["input_price"], shown["source"]) == (7_000_000, "configuration")
    assert [each["source"] for each in shown["overrides"]] == ["configuration", "prices set"]
    assert shown["schedules"][0]["above_input_tokens"] == 0


def test_show_says_why_there_is_none(command: Command) -> None:
    assert command.run("prices", "show", "llama3") == 1
    assert "give it a price: `aigw prices set MODEL" in command.err
    assert "unpriced: genai-prices does not have it in the price list of OpenAI" in command.out
    assert command.run("prices", "show", "llama3", "--provider", "opnai") == 2
    assert "there are anthropic, openai" in command.err


# --- import


def entry(**given: Any) -> dict[str, Any]:
    return {"provider": "openai", "model": "m", "input_price": 1, "output_price": 2} | given


def imported(command: Command, tmp_path: Path, document: Any) -> int:
    file = tmp_path / "p.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return command.run("prices", "import", str(file))


@pytest.mark.parametrize("wrap", [list, lambda entries: {"version": 1, "prices": entries}])
def test_an_array_or_an_object_with_one_is_imported(
    wrap: Any, command: Command, tmp_path: Path
) -> None:
    entries = [entry(cache_read_price=0, cache_write_price=None), entry(provider="", model="n*")]
    assert imported(command, tmp_path, wrap(entries)) == 0
    assert command.err == "2 imported\n"
    last, first = stored(command)
    assert (first.provider, first.input_price, first.cache_read_price) == ("openai", 1, 0)
    assert (last.provider, last.model, last.source) == ("", "n*", "import")


def test_an_import_is_all_or_nothing_and_lists_every_problem(
    command: Command, tmp_path: Path
) -> None:
    wrong = [
        entry(),
        entry(input_price=1.5),
        entry(output_price=-1),
        entry(model=""),
        entry(provider=7),
        entry(input_price=None, output_price=None),
        entry(currency="EUR"),
        entry(model="M"),
        "gpt-5",
        # Nothing that only looks empty: who writes 0 or a list does not mean any provider.
        entry(provider=0),
        entry(provider=[]),
        entry(provider=False),
    ]
    assert imported(command, tmp_path, wrong) == 2
    name = tmp_path / "p.json"
    for number, problem in [
        (1, "input_price must be a whole number"),
        (2, "output_price must be from 0"),
        (3, "model must be"),
        (4, "provider must be"),
        (5, "has neither input_price nor output_price"),
        (6, "unknown member 'currency'"),
        (7, "the same provider and model as [0]"),
        (8, "is no object"),
        (9, "provider must be"),
        (10, "provider must be"),
        (11, "provider must be"),
    ]:
        assert f"{name}[{number}]: {problem}" in command.err
    assert not command.database.exists()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "nested too deep"),
        ("{}", "must be an array"),
        ('{"a": [], "b": []}', "must be an array"),
        ("[]", "has no prices"),
        (f"[{'0,' * 20_000}0]", "has 20,001 prices, 20,000 are the most"),
        ("3", "must be an array"),
        ("\x00", "is no JSON"),
    ],
)
def test_what_is_no_list_of_prices(
    document: str, problem: str, command: Command, tmp_path: Path
) -> None:
    assert imported(command, tmp_path, document) == 2
    assert problem in command.err


def test_a_wrong_file_does_not_fill_the_screen(command: Command, tmp_path: Path) -> None:
    assert imported(command, tmp_path, [{}] * 5000) == 2
    assert "problems more" in command.err
    assert len(command.err.splitlines()) < 110


def test_a_file_that_is_not_there(command: Command, tmp_path: Path) -> None:
    assert command.run("prices", "import", str(tmp_path / "no.json")) == 2
    assert "cannot be read" in command.err


def test_what_was_set_by_hand_stays(command: Command, tmp_path: Path) -> None:
    command.run("prices", "set", "M", "--input", "9", "--provider", "openai")
    assert imported(command, tmp_path, [entry(), entry(model="other")]) == 0
    assert "not replaced, as it was set by hand: M at openai" in command.err
    assert "1 imported" in command.err
    assert [price.input_price for price in stored(command)] == [9_000_000, 1]


def test_importing_again_replaces(command: Command, tmp_path: Path) -> None:
    imported(command, tmp_path, [entry()])
    assert imported(command, tmp_path, [entry(input_price=5)]) == 0
    assert [price.input_price for price in stored(command)] == [5]


# --- refresh


def test_refreshed_prices_are_shown_until_they_are_discarded(command: Command) -> None:
    with serving(sending(price_list())) as url:
        assert command.run("prices", "refresh", "--url", url) == 0
        assert f"2 models of 1 providers from {url}" in command.err
        assert command.run("prices", "refresh", "--url", url, "--json") == 0
    done = json.loads(command.out)
    assert (done["url"], done["providers"], done["models"]) == (url, 1, 2)
    assert command.run("prices", "show", "gpt-5") == 0
    assert f"genai-prices {done['fetched_on']}: openai/gpt-5" in command.out
    assert "$7.50" in command.out
    assert command.run("prices", "refresh", "--discard") == 0
    assert command.run("prices", "show", "gpt-5") == 0
    assert "$7.50" not in command.out


def test_a_refresh_that_fails(command: Command) -> None:
    with serving(sending(b"", 503)) as url:
        assert command.run("prices", "refresh", "--url", url) == 1
    assert "status 503" in command.err
    assert command.run("prices", "refresh", "--url", "http://example.com/x") == 2
    assert "https only" in command.err


# --- help and completion


def test_help_says_that_prices_are_in_dollars(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "set", "--help"]) == 0
    assert "dollars per million tokens" in capsys.readouterr().out


def test_commands_are_completed() -> None:
    assert {"list", "show", "set", "unset", "import", "refresh"} <= {
        candidate.value for candidate in candidates(["prices"], "")
    }
