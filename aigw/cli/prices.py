"""`aigw prices`: list, explain, set, unset, refresh and import the prices of models."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal
    from pathlib import Path

    from aigw.settings import Settings

app = typer.Typer(
    help="Say what models cost: list, explain, set, import and refresh prices.",
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

_Database = Annotated[
    str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
]
_Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's name; with * a pattern, as gpt-5*.")
]
_Provider = Annotated[
    str | None, typer.Option(help="A configured provider's name or a type. Default: any.")
]
_Dollars = Annotated[
    str | None, typer.Option(metavar="DOLLARS", help="Dollars per million tokens: 3 or 0.30.")
]


@app.callback()
def _prices() -> None:
    """Say what models cost: list, explain, set, import and refresh prices."""


@app.command("list")
def list_all(
    provider: Annotated[str | None, typer.Option(help="Only for this provider.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON array, in micro-dollars.")] = False,
    db: _Database = None,
) -> None:
    """List prices that were given, and the models that were used, with the price now in effect."""
    from aigw import clock
    from aigw.cli.price_lines import print_list
    from aigw.cli.price_rows import rows
    from aigw.cli.text import prepare_stdout
    from aigw.settings import database_path

    path = database_path(db, os.environ)
    found = rows(_settings(), path, clock.now())
    if provider is not None:
        found = [row for row in found if row.provider == provider]
    prepare_stdout()
    print_list(found, json=json)


@app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.")],
    provider: Annotated[str | None, typer.Option(help="Only at this configured provider.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON array, in micro-dollars.")] = False,
    db: _Database = None,
) -> None:
    """Explain a model's price: where it is from, tiers, classes of service, what else would apply.

    Without --provider, at every provider that has a price for it. Exit 1 where there is none.
    """
    from aigw import clock
    from aigw.cli.price_lines import HOW, print_quotes
    from aigw.cli.price_rows import quotes
    from aigw.cli.text import prepare_stdout
    from aigw.settings import database_path

    settings = _settings()
    known = [each.name for each in settings.providers]
    if provider is not None and provider not in known:
        raise ConfigError(f"--provider {provider!r}: there are {', '.join(sorted(known))}")
    path = database_path(db, os.environ)
    found = quotes(settings, path, model, provider, clock.now())
    prepare_stdout()
    print_quotes(model, found, json=json)
    if not any(quote.price for _, quote in found):
        sys.stderr.write(f"give it a price: {HOW}\n")
        raise typer.Exit(1)


@app.command("set")
def set_one(
    model: _Model,
    input_: Annotated[
        str | None,
        typer.Option("--input", metavar="DOLLARS", help="Dollars per million tokens: 3 or 0.30."),
    ] = None,
    output: _Dollars = None,
    cache_read: _Dollars = None,
    cache_write: _Dollars = None,
    cache_write_1h: _Dollars = None,
    micros: Annotated[
        bool, typer.Option("--micros", help="All figures are micro-dollars per million tokens.")
    ] = False,
    provider: _Provider = None,
    db: _Database = None,
) -> None:
    """Set a model's price, in dollars per million tokens. A daemon goes by it within a second.

    aigw prices set my-model --input 3.00 --output 15 --cache-read 0.30

    What was recorded before keeps its cost. A cache price that is not given is the input price.
    """
    from aigw import clock
    from aigw.cli.price_lines import described
    from aigw.settings import database_path
    from aigw.store.price_changes import set_price
    from aigw.store.prices import PriceSource, StoredPrice

    given = {
        "--input": input_,
        "--output": output,
        "--cache-read": cache_read,
        "--cache-write": cache_write,
        "--cache-write-1h": cache_write_1h,
    }
    rates = {flag: _rate(flag, text, micros=micros) for flag, text in given.items()}
    if rates["--input"] is None and rates["--output"] is None:
        raise ConfigError("give --input, --output or both, in dollars per million tokens")
    price = StoredPrice(
        provider=_name("--provider", provider) if provider else "",
        model=_name("MODEL", model),
        input_price=rates["--input"],
        output_price=rates["--output"],
        cache_read_price=rates["--cache-read"],
        cache_write_price=rates["--cache-write"],
        cache_write_1h_price=rates["--cache-write-1h"],
        source=PriceSource.SET,
        updated_at=clock.now(),
    )
    before = set_price(database_path(db, os.environ), price)
    _warn_of_unknown([price.provider])
    sys.stderr.write(f"{described(price)}\n")
    if before is not None:
        sys.stderr.write(f"it was {described(before)}\n")


@app.command()
def unset(model: _Model, provider: _Provider = None, db: _Database = None) -> None:
    """Forget a price that was set or imported."""
    from aigw.cli.price_lines import described
    from aigw.settings import database_path
    from aigw.store.price_changes import unset_price

    gone = unset_price(database_path(db, os.environ), provider or "", model)
    sys.stderr.write(f"no longer: {described(gone)}\n")


@app.command("import")
def import_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A JSON file; - reads stdin.")],
    db: _Database = None,
) -> None:
    """Import prices: a JSON array of objects in micro-dollars per million tokens, all or none.

    Each has provider (may be empty: any), model, input_price, output_price, and where there are such
    cache_read_price, cache_write_price and cache_write_1h_price. Prices that were set stay.
    """
    from aigw import clock
    from aigw.cli import messages
    from aigw.cli.price_lines import described
    from aigw.pricing.price_json import parse_prices
    from aigw.settings import database_path
    from aigw.store.price_changes import import_prices

    prices = parse_prices(_content(file), "stdin" if file == "-" else file, clock.now())
    done = import_prices(database_path(db, os.environ), prices)
    _warn_of_unknown(price.provider for price in prices)
    for price in done.kept:
        messages.warn(f"not replaced, as it was set by hand: {described(price)}")
    sys.stderr.write(f"{done.written} imported\n")


@app.command()
def refresh(
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Default: where genai-prices publishes them.")
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Go back to the prices that the package has.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object.")] = False,
    db: _Database = None,
) -> None:
    """Fetch the newest list prices and keep them beside the database, for the daemon too.

    aigw never fetches any by itself.
    """
    from aigw import clock
    from aigw.cli.text import print_json
    from aigw.pricing import refresh as prices
    from aigw.settings import database_path

    path = database_path(db, os.environ)
    if discard:
        had = prices.discard(path)
        sys.stderr.write("discarded\n" if had else "there are no refreshed prices\n")
        return
    done = prices.refresh(path, url or prices.DEFAULT_URL, clock.now())
    models = sum(len(each.models) for each in done.providers)
    if json:
        print_json(
            {
                "url": done.url,
                "fetched_on": done.fetched_on,
                "providers": len(done.providers),
                "models": models,
                "path": str(prices.refreshed_path(path)),
            }
        )
        return
    sys.stderr.write(
        f"{models:,} models of {len(done.providers)} providers from {done.url}: they count from now "
        "on, in a running daemon within seconds\n"
    )


def _settings() -> Settings:
    from aigw.settings import resolve

    return resolve({}, os.environ, run_commands=False)


def _warn_of_unknown(names: Iterable[str]) -> None:
    """Say so where the configuration, as far as this command sees it, has no such provider."""
    from aigw.cli import messages
    from aigw.cli.text import visible
    from aigw.provider_types import PROVIDER_TYPES

    try:
        known = {*PROVIDER_TYPES, *(each.name for each in _settings().providers), ""}
    except ConfigError:
        # Its faults are told by `aigw config check`; a price can be set all the same.
        return
    for name in sorted(set(names) - known):
        messages.warn(f"provider {visible(name)}: the configuration has none of this name or type")


def _name(what: str, text: str) -> str:
    from aigw.price_settings import LONGEST_PATTERN
    from aigw.pricing.price_json import is_name

    if not is_name(text):
        raise ConfigError(
            f"{what} {text!r}: use 1 to {LONGEST_PATTERN} visible characters, no space at either end"
        )
    return text


def _rate(flag: str, text: str | None, *, micros: bool) -> int | None:
    """A figure of the command line in micro-dollars per million tokens."""
    if text is None:
        return None
    from aigw.price_settings import HIGHEST_RATE

    unit = "a whole number of micro-dollars" if micros else "dollars such as 3 or 0.30"
    figure = _decimal(text)
    if figure is None:
        raise ConfigError(f"{flag} {text!r}: give {unit} per million tokens")
    rate = figure if micros else figure * 1_000_000
    if rate != int(rate):
        finest = "whole ones" if micros else "six decimals"
        raise ConfigError(f"{flag} {text!r}: a price has {finest} at most")
    if rate > HIGHEST_RATE:
        hint = "" if micros else " (--micros takes micro-dollars)"
        raise ConfigError(f"{flag} {text!r}: more than a million dollars per million tokens{hint}")
    return int(rate)


def _decimal(text: str) -> Decimal | None:
    import re
    from decimal import Decimal

    plain = text.strip().removeprefix("$")
    return Decimal(plain) if re.fullmatch(r"\d{1,13}(\.\d{1,13})?", plain, re.ASCII) else None


def _content(file: str) -> bytes:
    from pathlib import Path

    from aigw.pricing.price_json import LARGEST_IMPORT

    if file == "-":
        content = sys.stdin.buffer.read(LARGEST_IMPORT + 1)
    else:
        content = _read(Path(file).expanduser(), LARGEST_IMPORT + 1)
    if len(content) > LARGEST_IMPORT:
        raise ConfigError(f"{file}: is larger than 32 MiB, which no list of prices is")
    return content


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(most)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
