"""`aigw config`: show, check, find and write the configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from aigw.cli import messages
from aigw.cli.option_flags import OptionTableCommand, with_option_flags
from aigw.cli.provider_text import origin_of, setting_rows, shown_settings
from aigw.config_file import FILE_NAMES, default_folder
from aigw.errors import ConfigError
from aigw.options import OPTIONS, Option
from aigw.price_settings import PRICE_KEYS, PriceSettings
from aigw.settings import Settings, resolve, resolve_one, shown_value, without_settings

_LISTS_EXAMPLE = """
# Further providers, a table each; docs/options.md has all their settings. A provider's name is its
# route: http://127.0.0.1:4001/team-a/v1
# Prices of your own, before those of the price list, are in micro-dollars per million tokens
# (3_000_000 is $3.00); docs/prices.md has all of it.
#
# [[providers]]
# type = "openai"
# name = "team-a"
# keys = ["env:TEAM_A_KEY_1", "env:TEAM_A_KEY_2"]
# allow_models = ["gpt-*"]
#
# [[providers]]
# type = "bedrock"
# bedrock_region = "us-east-1"
# bedrock_models = { "claude-opus-*" = "global.anthropic.claude-opus-4-5-20251101-v1:0" }
#
# [[prices]]
# model = "my-model*"
# provider = "team-a"
# input = 3_000_000
# output = 15_000_000
# cache_read = 300_000
"""

app = typer.Typer(
    add_completion=False,
    help="Show, check or write the configuration.",
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.command(cls=OptionTableCommand)
@with_option_flags
def show(
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value is from.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    flags: dict[str, str],
) -> None:
    """Show every setting as `aigw serve` with the same flags would have it. Secrets are masked."""
    settings = resolve(flags, os.environ, run_commands=False)
    for warning in settings.warnings:
        messages.warn(warning)
    if json:
        _print_json(settings, origin=origin)
    else:
        _print_table(settings, origin=origin)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The configuration file to check.")],
) -> None:
    """Check a configuration file and list all that is wrong with it. Exit 2 when something is."""
    # The file is judged alone: what the environment sets has no part, what `env:` names has.
    environ = without_settings(os.environ)
    path = Path(os.path.abspath(file.expanduser()))
    settings = resolve({}, environ, config_path=path, run_commands=False)
    for warning in settings.warnings:
        if warning.startswith(str(path)):
            messages.warn(warning)
    if settings.tls_cert_file and settings.tls_key_file:
        from aigw.gateway.tls import check_certificate

        check_certificate(settings.tls_cert_file, settings.tls_key_file)
    print(f"{file}: ok")


@app.command()
def path(
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="As for `aigw serve`.")
    ] = None,
) -> None:
    """Print the path of the configuration file in use, or of the one that would be."""
    from aigw.config_file import find_default

    found = resolve_one("config", config, os.environ) or find_default()
    used = found or default_folder() / FILE_NAMES[0]
    print(used)
    if not used.exists():
        messages.warn("there is no such file yet; `aigw config init` writes it")


@app.command()
def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="Where to write it; ends in .toml.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a configuration file with every setting at its default, table by table."""
    target = Path(os.path.abspath(file.expanduser())) if file else _default_target()
    if target.suffix.lower() != ".toml":
        raise ConfigError(f"{target}: the file is TOML; give it a name that ends in .toml")
    if target.exists() and not force:
        raise ConfigError(f"{target}: exists already; --force replaces it")
    _write_private(target, _initial_text())
    print(target)


def _default_target() -> Path:
    folder = default_folder()
    for name in FILE_NAMES[1:]:
        if (folder / name).exists():
            raise ConfigError(
                f"{folder / name}: is the configuration file in use; remove it, or name another "
                "place: aigw config init PATH"
            )
    return folder / FILE_NAMES[0]


def _initial_text() -> str:
    import tomli_w

    document: dict[str, Any] = {}
    for option in OPTIONS:
        if not option.key:
            continue
        *tables, name = option.key.split(".")
        table = document
        for part in tables:
            table = table.setdefault(part, {})
        table[name] = _initial_value(option)
    return tomli_w.dumps(document) + _LISTS_EXAMPLE


def _initial_value(option: Option) -> object:
    text = option.default_text()
    return option.read(text) if option.kind in ("bool", "int") else text


def _write_private(target: Path, text: str) -> None:
    """Write whole or not at all, readable by the owner only."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _print_json(settings: Settings, *, origin: bool) -> None:
    import json

    document: dict[str, object] = {}
    for option in OPTIONS:
        value = _json_value(settings, option)
        came = settings.origins[option.name]
        document[_label(option)] = (
            {"value": value, "source": came.source, "detail": came.detail} if origin else value
        )
    document["providers"] = [
        {
            name: _with_origin(value, origin_of(provider, name)) if origin else value
            for name, value in shown_settings(provider).items()
        }
        for provider in settings.providers
    ]
    document["prices"] = [_price_object(price, origin=origin) for price in settings.prices]
    print(json.dumps(document, indent=2))


def _price_object(price: PriceSettings, *, origin: bool) -> dict[str, object]:
    return {
        key: _with_origin(getattr(price, key), price.origin) if origin else getattr(price, key)
        for key in PRICE_KEYS
    }


def _with_origin(value: object, came: str) -> dict[str, object]:
    source, _, detail = came.partition(" ")
    return {"value": value, "source": source, "detail": detail}


def _json_value(settings: Settings, option: Option) -> object:
    value = getattr(settings, option.name)
    return value if isinstance(value, (bool, int)) else shown_value(settings, option)


def _label(option: Option) -> str:
    return option.key or option.name


def _print_table(settings: Settings, *, origin: bool) -> None:
    rows = [
        (_label(option), shown_value(settings, option), str(settings.origins[option.name]))
        for option in OPTIONS
    ]
    for provider in settings.providers:
        rows += setting_rows(provider)
    for number, price in enumerate(settings.prices):
        shown = ((key, getattr(price, key)) for key in PRICE_KEYS)
        rows += [
            (f"prices[{number}].{key}", str(value), price.origin)
            for key, value in shown
            if value not in ("", None)
        ]
    if sys.stdout.isatty():
        _print_rich(rows, origin=origin)
        return
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, came in rows:
        tail = f"  {came}" if origin else ""
        print(f"{name:<{widths[0]}}  {value:<{widths[1] if origin else 0}}{tail}".rstrip())


def _print_rich(rows: list[tuple[str, str, str]], *, origin: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("Setting", style="cyan", no_wrap=True)
    table.add_column("Value", overflow="fold")
    if origin:
        table.add_column("Origin", style="dim", overflow="fold")
    for row in rows:
        cells = row if origin else row[:2]
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
