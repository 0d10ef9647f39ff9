"""The list of commands: enough to draw `aigw --help` without importing any of them."""

from __future__ import annotations

from typing import NamedTuple

DESCRIPTION = (
    "Relay OpenAI and Anthropic traffic untouched, and record prompts, tokens, tool calls "
    "and reasoning."
)

GATEWAY = "Gateway"
RECORDS = "Records"
SETUP = "Setup"
PANELS = (GATEWAY, RECORDS, SETUP)


class Command(NamedTuple):
    """A command and where it is: `module:attribute` names a function, or a `typer.Typer` group."""

    name: str
    target: str
    panel: str
    help: str


COMMANDS: tuple[Command, ...] = (
    Command("serve", "aigw.cli.serve_command:serve", GATEWAY, "Run the gateway."),
    Command("status", "aigw.cli.status:status", GATEWAY, "Tell whether the gateway runs, and how."),
    Command("keys", "aigw.cli.keys:app", GATEWAY, "Say who may use the gateway: gateway keys."),
    Command(
        "budgets", "aigw.cli.budgets:app", GATEWAY, "Say how much may be spent: tokens, dollars."
    ),
    Command("groups", "aigw.cli.groups:app", GATEWAY, "Say who is in which group: for budgets."),
    Command(
        "reload",
        "aigw.cli.reload:reload",
        GATEWAY,
        "Have the gateway read its configuration again.",
    ),
    Command("logs", "aigw.cli.logs:logs", RECORDS, "Show the latest records, or follow new ones."),
    Command(
        "sessions",
        "aigw.cli.sessions:sessions",
        RECORDS,
        "List sessions: what agents did, and its cost.",
    ),
    Command(
        "session",
        "aigw.cli.session:session",
        RECORDS,
        "Show a session: prompts, steps, tool calls, cost.",
    ),
    Command("usage", "aigw.cli.usage:usage", RECORDS, "Sum up requests, tokens and cost."),
    Command("cost", "aigw.cli.cost:cost", RECORDS, "Show what each day and model has cost."),
    Command(
        "statusline",
        "aigw.cli.statusline_command:statusline",
        RECORDS,
        "Print cost and context on one line, for a status bar.",
    ),
    Command("interceptions", "aigw.cli.interceptions:app", RECORDS, "List interceptions as JSON."),
    Command("show", "aigw.cli.show:show", RECORDS, "Show everything about one interception."),
    Command("prices", "aigw.cli.prices:app", RECORDS, "Say what models cost."),
    Command("export", "aigw.cli.export:export", RECORDS, "Write records to a file."),
    Command("sql", "aigw.cli.sql:sql", RECORDS, "Ask the store a question in SQL."),
    Command("backup", "aigw.cli.backup:backup", RECORDS, "Copy the database while it is in use."),
    Command("prune", "aigw.cli.prune:prune", RECORDS, "Delete old records."),
    Command("config", "aigw.cli.config:app", SETUP, "Show, check or write the configuration."),
    Command(
        "providers",
        "aigw.cli.providers:app",
        SETUP,
        "List the configured providers, or test one.",
    ),
    Command(
        "completion", "aigw.cli.completion:completion", SETUP, "Print a shell's completion script."
    ),
)

GLOBAL_OPTIONS: tuple[tuple[str, str], ...] = (
    ("--version", "Show the version and exit."),
    ("--help, -h", "Show this message and exit."),
)
