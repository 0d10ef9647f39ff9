"""The option table: every setting of the gateway, declared once.

Flags, environment variables, file keys, `--help`, `aigw config`, the completions and
docs/options.md are all made from `OPTIONS`. A new option is one more entry here and one more
attribute in `settings.Settings`; a test holds the two together.

The `aibridge` names are those of Coder's AI Bridge; the later `ai-gateway` names of the same
options are accepted as hidden aliases (`_aibridge`). A name that does nothing yet is not declared.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from aigw.option import Option

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

AIBRIDGE = "Gateway"
SERVER = "Server"
LOGGING = "Logging"
METRICS = "Metrics"
GROUPS = (AIBRIDGE, SERVER, LOGGING, METRICS)
"""The headings of `--help` and docs/options.md, in order."""


def _default_database() -> Path:
    from platformdirs import user_data_path  # noqa: PLC0415 - only a few commands need it

    return user_data_path("aigw", appauthor=False) / "aigw.db"


def _aibridge(
    name: str,
    kind: str,
    help_text: str,
    default: str = "",
    *,
    suffix: str = "",
    secret: bool = False,
) -> Option:
    """An option of the `aibridge` group with its later names, which differ in the prefix only."""
    suffix = suffix or name
    dashed = suffix.replace("_", "-")
    return Option(
        name=name,
        kind=kind,
        group=AIBRIDGE,
        help=help_text,
        default=default,
        secret=secret,
        flag=f"--aibridge-{dashed}",
        flag_aliases=(f"--ai-gateway-{dashed}",),
        variable=f"CODER_AIBRIDGE_{suffix.upper()}",
        variable_aliases=(f"CODER_AI_GATEWAY_{suffix.upper()}",),
        key=f"aibridge.{suffix}",
        key_aliases=(f"ai_gateway.{suffix}",),
    )


_KEY_HELP = (
    "{} API key. It replaces the client's own credential. Give a reference instead of the key: "
    "env:NAME, file:PATH or cmd:COMMAND. Empty: the client's credential goes upstream."
)

OPTIONS: tuple[Option, ...] = (
    _aibridge("enabled", "bool", "Start the AI gateway. Nothing is served without it.", "false"),
    _aibridge(
        "openai_base_url",
        "url",
        "Base URL of the OpenAI API, or of any API that speaks it.",
        "https://api.openai.com/v1/",
    ),
    _aibridge("openai_key", "string", _KEY_HELP.format("OpenAI"), secret=True),
    _aibridge(
        "anthropic_base_url",
        "url",
        "Base URL of the Anthropic API, or of any API that speaks it.",
        "https://api.anthropic.com/",
    ),
    _aibridge("anthropic_key", "string", _KEY_HELP.format("Anthropic"), secret=True),
    _aibridge(
        "retention",
        "duration",
        "How long records are kept: a duration such as 90d, 12h or 1w2d. 0 keeps them for ever.",
        "60d",
    ),
    _aibridge(
        "structured_logging",
        "bool",
        "Also write each record as a log line with the message 'interception log'.",
        "false",
    ),
    Option(
        name="http_address",
        kind="address",
        group=SERVER,
        help="Address to listen on, HOST:PORT. Port 0 takes any free port.",
        flag="--http-address",
        variable="CODER_HTTP_ADDRESS",
        variable_aliases=("CODER_AI_GATEWAY_HTTP_ADDRESS",),
        key="networking.http.http_address",
        key_aliases=("networking.http.httpAddress",),
        default="127.0.0.1:4001",
    ),
    Option(
        name="db",
        kind="path",
        group=SERVER,
        help="The SQLite database that holds the records. It is made when it does not exist.",
        flag="--db",
        variable="AIGW_DB",
        key="aigw.db",
        default=_default_database,
    ),
    Option(
        name="config",
        kind="path",
        group=SERVER,
        help="Configuration file, TOML or YAML. Default: config.toml, config.yaml or config.yml "
        "in the platform's configuration folder, where there is one.",
        flag="--config",
        short="-c",
        variable="CODER_CONFIG_PATH",
        key="",
    ),
    Option(
        name="upstream_connect_timeout",
        kind="duration",
        group=SERVER,
        help="How long connecting to a provider may take before the client gets an error.",
        flag="--upstream-connect-timeout",
        variable="AIGW_UPSTREAM_CONNECT_TIMEOUT",
        key="aigw.upstream_connect_timeout",
        default="30s",
        positive=True,
    ),
    Option(
        name="upstream_idle_timeout",
        kind="duration",
        group=SERVER,
        help="How long a provider may send nothing before its answer counts as broken off. "
        "0: no limit.",
        flag="--upstream-idle-timeout",
        variable="AIGW_UPSTREAM_IDLE_TIMEOUT",
        key="aigw.upstream_idle_timeout",
        default="10m",
    ),
    Option(
        name="max_body_size",
        kind="size",
        group=SERVER,
        help="Largest request body accepted, in bytes or as 10MB or 64MiB. Larger ones get 413.",
        flag="--max-body-size",
        variable="AIGW_MAX_BODY_SIZE",
        key="aigw.max_body_size",
        default="64MiB",
        positive=True,
    ),
    Option(
        name="shutdown_timeout",
        kind="duration",
        group=SERVER,
        help="How long answers in flight may take to finish after a stop signal. 0: not at all.",
        flag="--shutdown-timeout",
        variable="AIGW_SHUTDOWN_TIMEOUT",
        key="aigw.shutdown_timeout",
        default="30s",
    ),
    Option(
        name="store_fail_open",
        kind="bool",
        group=SERVER,
        help="Relay requests unrecorded while the database cannot be written. "
        "Without it they are refused with 503.",
        flag="--store-fail-open",
        variable="AIGW_STORE_FAIL_OPEN",
        key="aigw.store_fail_open",
        default="false",
    ),
    Option(
        name="store_synchronous",
        kind="string",
        group=SERVER,
        help="What a commit waits for: 'normal' outlives a killed process, "
        "'full' a power failure too, and is slower.",
        flag="--store-synchronous",
        variable="AIGW_STORE_SYNCHRONOUS",
        key="aigw.store_synchronous",
        default="normal",
        choices=("normal", "full"),
    ),
    Option(
        name="log_human",
        kind="output",
        group=LOGGING,
        help="Write readable log lines to this file, /dev/stderr or /dev/stdout. Empty: nowhere.",
        flag="--log-human",
        variable="CODER_LOGGING_HUMAN",
        key="introspection.logging.human_path",
        key_aliases=("introspection.logging.humanPath",),
        default="/dev/stderr",
    ),
    Option(
        name="log_json",
        kind="output",
        group=LOGGING,
        help="Write log lines as JSON objects to this file, /dev/stderr or /dev/stdout. "
        "Empty: nowhere.",
        flag="--log-json",
        variable="CODER_LOGGING_JSON",
        key="introspection.logging.json_path",
        key_aliases=("introspection.logging.jsonPath",),
    ),
    Option(
        name="log_filter",
        kind="regex",
        group=LOGGING,
        help="Show debug lines whose logger name or message matches this regular expression. "
        "'.*' shows all.",
        flag="--log-filter",
        short="-l",
        variable="CODER_LOG_FILTER",
        key="introspection.logging.filter",
    ),
    Option(
        name="prometheus_enable",
        kind="bool",
        group=METRICS,
        help="Serve Prometheus metrics under /metrics on the Prometheus address.",
        flag="--prometheus-enable",
        variable="CODER_PROMETHEUS_ENABLE",
        key="introspection.prometheus.enable",
        default="false",
    ),
    Option(
        name="prometheus_address",
        kind="address",
        group=METRICS,
        help="Address that serves the metrics, HOST:PORT.",
        flag="--prometheus-address",
        variable="CODER_PROMETHEUS_ADDRESS",
        key="introspection.prometheus.address",
        default="127.0.0.1:2112",
    ),
)
"""In the order of `--help`."""

BY_NAME = {option.name: option for option in OPTIONS}
BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}
BY_VARIABLE = {variable: option for option in OPTIONS for variable in option.variables}
BY_KEY = {key: option for option in OPTIONS for key in option.keys}


__all__ = [
    "AIBRIDGE",
    "BY_FLAG",
    "BY_KEY",
    "BY_NAME",
    "BY_VARIABLE",
    "GROUPS",
    "LOGGING",
    "METRICS",
    "OPTIONS",
    "SERVER",
    "Option",
    "nearest",
]


_FAMILIES = re.compile(
    r"--(aibridge|ai-gateway)-|--|CODER_(AIBRIDGE_|AI_GATEWAY_)?|AIGW_|(aibridge|ai_gateway)\."
)


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message: ` (did you mean X?)`, or nothing when no name is near.

    What a whole family of names starts with says nothing of nearness, so the rest decides.
    """
    names = list(known)
    family = match[0] if (match := _FAMILIES.match(word)) else ""
    siblings = {name[len(family) :]: name for name in names if name.startswith(family)}
    if found := get_close_matches(word[len(family) :], siblings, n=1, cutoff=0.65):
        return f" (did you mean {siblings[found[0]]}?)"
    if family:
        return ""
    found = get_close_matches(word, names, n=1, cutoff=0.65)
    return f" (did you mean {found[0]}?)" if found else ""
