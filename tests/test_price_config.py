"""Prices in the configuration file: both formats, and every error with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aigw.cli.main import main
from aigw.errors import ConfigError
from aigw.price_settings import PriceSettings
from aigw.settings import Settings, resolve
from tests.home import use_home

if TYPE_CHECKING:
    from pathlib import Path

TOML = """\
[[providers]]
type = "openai"
name = "team-a"

[[prices]]
model = "my.model-1*"
provider = "team-a"
input = 3_000_000
output = 15_000_000
cache_read = 300_000
cache_write = 3_750_000
cache_write_1h = 6_000_000

[[prices]]
model = "free"
input = 0
output = 0
"""
YAML = """\
providers:
  - type: openai
    name: team-a
prices:
  - model: my.model-1*
    provider: team-a
    input: 3000000
    output: 15000000
    cache_read: 300000
    cache_write: 3750000
    cache_write_1h: 6000000
  - model: free
    input: 0
    output: 0
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return use_home(monkeypatch, tmp_path / "home")


def resolved(tmp_path: Path, text: str, name: str = "c.toml") -> Settings:
    path = tmp_path / name
    path.write_text(text)
    return resolve({}, {}, config_path=path)


@pytest.mark.parametrize(("name", "text"), [("c.toml", TOML), ("c.yaml", YAML)])
def test_both_formats_say_the_same(name: str, text: str, tmp_path: Path) -> None:
    settings = resolved(tmp_path, text, name)
    path = tmp_path / name
    assert settings.prices == (
        PriceSettings(
            model="my.model-1*",
            provider="team-a",
            input=3_000_000,
            output=15_000_000,
            cache_read=300_000,
            cache_write=3_750_000,
            cache_write_1h=6_000_000,
            origin=f"file {path}:prices[0]",
        ),
        PriceSettings(model="free", input=0, output=0, origin=f"file {path}:prices[1]"),
    )
    assert settings.warnings == ()


@pytest.mark.parametrize("text", ["", "prices: []", "prices:"])
def test_no_prices(text: str, tmp_path: Path) -> None:
    assert resolved(tmp_path, text, "c.yaml").prices == ()


WRONG = [
    ("[[prices]]\ninput = 1000", ":1: prices[0]: says no model"),
    ('[[prices]]\nmodel = ""\ninput = 1000', ":2: prices[0].model: use 1 to 256"),
    ("[[prices]]\nmodel = 5\ninput = 1000", ":2: prices[0].model: must be text"),
    ('[[prices]]\nmodel = "m"', ":1: prices[0]: has neither `input` nor `output`"),
    ('[[prices]]\nmodel = "m"\ninput = 3.0', ":3: prices[0].input: 3.0 is no whole number"),
    ('[[prices]]\nmodel = "m"\ninput = "3"', ":3: prices[0].input: '3' is no whole number"),
    ('[[prices]]\nmodel = "m"\ninput = true', ":3: prices[0].input: must be a whole number"),
    ('[[prices]]\nmodel = "m"\ninput = -1', ":3: prices[0].input: must be from 0 to"),
    ('[[prices]]\nmodel = "m"\noutput = 10000000000000', ":3: prices[0].output: must be from 0"),
    (
        '[[prices]]\nmodel = "m"\ninptu = 1',
        ":3: prices[0].inptu: unknown key (did you mean input?)",
    ),
    (
        '[[prices]]\nmodel = "m"\nprovider = "opnai"\ninput = 1000',
        ":3: prices[0].provider: 'opnai' is no provider's name or type (did you mean openai?)",
    ),
    (
        '[[prices]]\nmodel = "m"\ninput = 1000\n[[prices]]\nmodel = "M"\ninput = 1000',
        ":4: prices[1]: there is a price for 'M' already at",
    ),
    ("prices = 3", ":1: prices: must be a list of tables"),
    ("[prices]\nm = 3", ":1: prices: must be a list of tables"),
    ("prices = [3]", ":1: prices[0]: must be a table of keys"),
    ("price = []", ":1: price: unknown key (did you mean prices?)"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_what_is_wrong_is_told_with_its_line(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(tmp_path, text)
    assert any(f"c.toml{problem}" in line for line in caught.value.problems), caught.value.problems


def test_yaml_tells_lines_too(tmp_path: Path) -> None:
    text = "prices:\n  - model: m\n    input: 1.5\n  - input: 5000\n"
    with pytest.raises(ConfigError) as caught:
        resolved(tmp_path, text, "c.yaml")
    first, second = caught.value.problems
    assert "c.yaml:3: prices[0].input: 1.5 is no whole number" in first
    assert "c.yaml:4: prices[1]: says no model" in second


def test_dollars_in_the_place_of_micro_dollars_are_warned_of(tmp_path: Path) -> None:
    settings = resolved(tmp_path, '[[prices]]\nmodel = "m"\ninput = 3\noutput = 15000000\n')
    (warning,) = settings.warnings
    assert "c.toml:3: prices[0].input: 3 micro-dollars" in warning
    assert "write 3000000" in warning


def test_config_check_and_show_know_prices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(TOML)
    assert main(["config", "check", str(path)]) == 0
    capsys.readouterr()
    assert main(["config", "show", "--config", str(path), "--origin"]) == 0
    out = capsys.readouterr().out
    assert "prices[0].cache_read" in out
    assert f"file {path}:prices[1]" in out
    path.write_text(TOML.replace("3_000_000", "3.0"))
    assert main(["config", "check", str(path)]) == 2
    assert "prices[0].input" in capsys.readouterr().err


def test_config_show_json_has_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    path = tmp_path / "c.toml"
    path.write_text(TOML)
    assert main(["config", "show", "--config", str(path), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["prices"]
    assert (first["model"], first["input"], second["cache_read"]) == (
        "my.model-1*",
        3_000_000,
        None,
    )
