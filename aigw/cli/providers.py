"""`aigw providers`: which providers are configured, and whether one can be used."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigw.cli import messages
from aigw.cli.complete import complete_configured_provider
from aigw.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from aigw.gateway.probe import Outcome
    from aigw.provider_settings import ProviderSettings
    from aigw.settings import Settings

app = typer.Typer(
    add_completion=False,
    help="List the configured providers, or test one.",
    context_settings={"help_option_names": ["--help", "-h"]},
)

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="PATH", help="The configuration file to read."),
]


@app.command("list")
def list_(
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value is from.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    config: Config = None,
    db: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="The daemon's database; default from the settings."),
    ] = None,
) -> None:
    """List the configured providers, keys masked.

    Where a gateway runs on the same database, its keys' state is shown too: which rest, and for
    how long.
    """
    from aigw.cli.provider_list import provider_lines, provider_objects
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.settings import resolve

    settings = resolve({"config": config, "db": db}, os.environ, run_commands=False)
    _warn(settings)
    status = daemon_status(settings.db)
    prepare_stdout()
    if json:
        print_json(provider_objects(settings.providers, status, origin=origin))
    else:
        for line in provider_lines(settings.providers, status, origin=origin):
            sys.stdout.write(f"{line}\n")


@app.command("test")
def check(
    name: Annotated[
        str,
        typer.Argument(help="The provider's name.", autocompletion=complete_configured_provider),
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            help="Ask this model for one token, instead of asking which models there are."
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    config: Config = None,
) -> int:
    """Send a provider one real request with each of its keys, and say what is wrong.

    The request is this command's own, not the daemon's. Bedrock is asked for one token, which
    costs next to nothing; others for their list of models, which is free. Exit 1 when something
    is wrong.
    """
    from aigw.cli.provider_list import outcome_line
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.settings import resolve

    settings = resolve({"config": config}, os.environ)
    _warn(settings)
    provider = _named(settings, name)
    outcomes = _probe(settings, provider, model)
    prepare_stdout()
    if json:
        print_json(_report(provider, outcomes))
    else:
        for outcome in outcomes:
            sys.stdout.write(f"{outcome_line(provider, outcome)}\n")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def daemon_status(database: Path) -> dict[str, Any] | None:
    """The status page of the daemon on this database; None when none runs or it does not answer."""
    from aigw.cli.daemon_client import ask
    from aigw.errors import DaemonError

    try:
        return ask(database, "/api/v2/aibridge/status")
    except DaemonError:
        return None


def _warn(settings: Settings) -> None:
    for warning in settings.warnings:
        messages.warn(warning)


def _named(settings: Settings, name: str) -> ProviderSettings:
    from aigw.options import nearest

    found = {provider.name: provider for provider in settings.providers}
    if name not in found:
        known = nearest(name, found) or f": there are {', '.join(found)}"
        raise ConfigError(f"no provider is called {name!r}{known}")
    if not found[name].enabled:
        messages.warn(f"{name} is switched off: the gateway does not serve it")
    return found[name]


def _probe(settings: Settings, provider: ProviderSettings, model: str) -> list[Outcome]:
    import asyncio

    from aigw.gateway.probe import ANSWER_SECONDS, probe
    from aigw.gateway.upstream import Upstream
    from aigw.providers.build import build_provider

    built = build_provider(provider)

    async def run() -> list[Outcome]:
        connect_timeout = settings.upstream_connect_timeout.total_seconds()
        upstream = Upstream(connect_timeout, ANSWER_SECONDS)
        try:
            return await probe(built, upstream, model, lambda text: _cleaned(provider, text))
        finally:
            await upstream.close()

    return asyncio.run(run())


_SHORTEST_SECRET = 8
"""A shorter text is no secret worth the name, and taking it out would garble what is said."""

_LONGEST_WORDS = 500
"""How much of a provider's message is shown: it says what matters first."""


def _cleaned(provider: ProviderSettings, text: str) -> str:
    """A provider's words without the secrets that it may have repeated, and not without end."""
    secrets = [(key.reveal(), str(key)) for key in provider.keys]
    secrets += [(value, "...") for value in provider.headers.values()]
    if provider.bedrock is not None:
        pairs = provider.bedrock.access_keys
        secrets += [(key.reveal(), str(key)) for pair in pairs for key in pair]
        if token := provider.bedrock.session_token:
            secrets.append((token.reveal(), str(token)))
    for secret, masked in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, masked)
    return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}..."


def _report(provider: ProviderSettings, outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "name": provider.name,
        "type": provider.type,
        "base_url": provider.base_url,
        "ok": all(outcome.ok for outcome in outcomes),
        "checks": [
            {
                "key": outcome.key,
                "ok": outcome.ok,
                "problem": outcome.problem or None,
                "message": outcome.message,
                "milliseconds": outcome.milliseconds,
            }
            for outcome in outcomes
        ],
    }
