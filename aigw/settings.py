"""Settings: the options of `options.OPTIONS`, resolved to typed values.

For each option the first of these counts: a flag, an environment variable, the configuration file,
the default. A value that a higher level hides is checked all the same, so that nothing wrong lies
in wait. All problems are found before any is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aigw.config_file import ConfigFile, find_default, load
from aigw.errors import ConfigError
from aigw.given import Given, Origin, Source, ValueReader
from aigw.option_values import STANDARD_OUTPUTS, Address, anchored, format_size, text_of
from aigw.options import BY_FLAG, BY_NAME, BY_VARIABLE, OPTIONS, Option, nearest
from aigw.price_config import resolve_prices
from aigw.price_settings import PriceSettings
from aigw.provider_config import Resolved, resolve_providers
from aigw.provider_options import is_provider_variable
from aigw.provider_settings import ProviderSettings
from aigw.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

__all__ = [
    "MAY_BE_EMPTY",
    "Origin",
    "Settings",
    "Source",
    "database_path",
    "resolve",
    "resolve_one",
    "shown_secret",
    "shown_value",
    "without_settings",
]

# Leftovers of Coder's gateway are warned of, not refused: Coder ignores them too.
_WATCHED_PREFIXES = ("CODER_AIBRIDGE_", "CODER_AI_GATEWAY_")
_OWN_PREFIX = "AIGW_"

MAY_BE_EMPTY = ("output", "regex", "header")
"""Kinds of option for which the empty text is a value of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option's value; options.py says what each means. Sizes are bytes.

    `config` is the file that was read, None when none was. `log_human` and `log_json` are empty,
    `/dev/stderr`, `/dev/stdout` or an absolute path. All paths are absolute. `providers` are all that
    are configured, those switched off too, whichever way. `prices` are those of the file.
    """

    enabled: bool
    openai_base_url: str
    openai_key: Secret
    anthropic_base_url: str
    anthropic_key: Secret
    bedrock_region: str
    bedrock_base_url: str | None
    bedrock_access_key: Secret
    bedrock_access_key_secret: Secret
    bedrock_model: str
    bedrock_small_fast_model: str
    retention: timedelta
    structured_logging: bool
    dump_dir: Path | None
    dump_max_age: timedelta
    dump_max_size: int
    allow_byok: bool
    max_concurrency: int
    rate_limit: int
    send_actor_headers: bool
    actor_header_id: str
    actor_header_username: str
    actor_header_email: str
    circuit_breaker_enabled: bool
    circuit_breaker_failure_threshold: int
    circuit_breaker_interval: timedelta
    circuit_breaker_timeout: timedelta
    circuit_breaker_max_requests: int
    budget_policy: str
    budget_period: str
    budget_refusal: str
    budget_unpriced: str
    budget_thresholds: tuple[int, ...]
    budget_webhook: Secret
    budget_command: str | None
    http_address: Address
    tls_cert_file: Path | None
    tls_key_file: Path | None
    db: Path
    config: Path | None
    upstream_connect_timeout: timedelta
    upstream_idle_timeout: timedelta
    max_body_size: int
    shutdown_timeout: timedelta
    store_fail_open: bool
    store_synchronous: str
    log_human: str
    log_json: str
    log_filter: str
    prometheus_enable: bool
    prometheus_address: Address
    providers: tuple[ProviderSettings, ...] = ()
    prices: tuple[PriceSettings, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def resolve(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    config_path: Path | None = None,
    run_commands: bool = True,
) -> Settings:
    """All settings, from the command line, the environment and the configuration file.

    `flags` is by option name (`db`) or flag as typed (`--ai-gateway-retention`); None values count
    as not given. `config_path` reads this file whatever flags and variables say. Without
    `run_commands`, secrets given as `cmd:` come out empty.

    Raises:
        ConfigError: something is wrong; `problems` has a line for each.
    """
    resolver = _Resolver(flags, environ, run_commands=run_commands)
    resolver.read_file(config_path)
    values = {o.name: resolver.value_of(o) for o in OPTIONS if o.name != "config"}
    values["config"] = resolver.file.path if resolver.file else None
    resolver.check_together(values)
    resolved = Resolved(values, resolver.origins, resolver.places)
    values["providers"] = resolve_providers(resolved, resolver.file, resolver.reader)
    values["prices"] = resolve_prices(resolver.file, values["providers"], resolver.reader)
    resolver.warn_of_unknown_variables()
    if resolver.problems:
        raise ConfigError(*resolver.problems)
    return Settings(**values, origins=resolver.origins, warnings=tuple(resolver.warnings))


def resolve_one(name: str, flag: object, environ: Mapping[str, str]) -> Any:
    """One option's value, for a command that needs no more; None as `flag` is not given.

    Other options are not looked at: a wrong one, or a secret's command, is not this one's matter.

    Raises:
        ConfigError: the option's own value is wrong, or the configuration file cannot be read.
    """
    resolver = _Resolver({name: flag}, environ)
    # The file may be broken; a flag or variable that decides needs none of it.
    if not any(given.raw is not None for given in resolver.above_file(BY_NAME[name])):
        resolver.read_file(None, judge_keys=False)
    value = resolver.value_of(BY_NAME[name])
    if resolver.problems:
        raise ConfigError(*resolver.problems)
    return value


def database_path(flag: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The database that a reading command opens: `--db`, or what the settings say."""
    path: Path = resolve_one("db", flag, environ)
    return path


class _Resolver:
    """Goes through the levels and collects what it finds wrong or doubtful."""

    def __init__(
        self, flags: Mapping[str, object], environ: Mapping[str, str], *, run_commands: bool = True
    ) -> None:
        self.reader = ValueReader(environ, run_commands=run_commands)
        self.problems = self.reader.problems
        self.warnings = self.reader.warnings
        self.origins: dict[str, Origin] = {}
        self.places: dict[str, str] = {}
        self.file: ConfigFile | None = None
        self._flags = flags
        self._environ = environ
        for name in flags:
            if name not in BY_NAME and name not in BY_FLAG:
                raise KeyError(name)

    def read_file(self, path: Path | None, *, judge_keys: bool = True) -> None:
        """Read the configuration file: `path`, else the one named, else the platform's."""
        option = BY_NAME["config"]
        try:
            named = path or self.value_of(option)
            found = named or find_default()
            self.file = load(found) if found else None
        except ConfigError as error:
            self.problems.extend(error.problems)
            return
        if self.file and judge_keys:
            self.problems.extend(self.file.problems)
        if path:
            self.origins[option.name] = Origin("flag", "--config")
        elif named is None and self.file:
            self.origins[option.name] = Origin("default", str(self.file.path))

    def value_of(self, option: Option) -> Any:
        """The option's value; None after a problem."""
        levels = (self._from_flags(option), self._from_variables(option), self._from_file(option))
        chosen: tuple[object, Given] | None = None
        for level in levels:
            found = self.reader.read(option, level)
            chosen = chosen or found
        if chosen is None:
            if option.name not in self.origins:
                self.origins[option.name] = Origin("default")
            return self._default(option)
        typed, given = chosen
        self.origins[option.name] = given.origin
        self.places[option.name] = given.place
        if option.secret:
            return self.reader.secret(str(typed), given)
        return _anchor(option, typed, given.folder)

    def above_file(self, option: Option) -> list[Given]:
        """What the command line and the environment give."""
        return [*self._from_flags(option), *self._from_variables(option)]

    def _from_flags(self, option: Option) -> Iterator[Given]:
        for name in (option.name, *option.flags):
            raw = self._flags.get(name)
            if raw is not None:
                flag = option.flag if name == option.name else name
                yield Given(raw, Origin("flag", flag), flag, Path.cwd())

    def _from_variables(self, option: Option) -> Iterator[Given]:
        # An empty variable is an unset one (`docker run -e NAME=`), but for texts that may be empty.
        may_be_empty = option.kind in MAY_BE_EMPTY
        for name in option.variables:
            raw = self._environ.get(name)
            if raw is not None and (raw.strip() or may_be_empty):
                yield Given(raw, Origin("variable", name), name, Path.cwd())

    def _from_file(self, option: Option) -> Iterator[Given]:
        if self.file is None:
            return
        for key in option.keys:
            entry = self.file.entries.get(key)
            if entry is not None:
                origin = Origin("file", f"{self.file.path}:{key}")
                path = self.file.path
                yield Given(entry.value, origin, self.file.place(key), path.parent, path)

    def _default(self, option: Option) -> Any:
        if option.secret:
            return Secret()
        text = option.default_text()
        may_be_empty = option.kind in MAY_BE_EMPTY or option.kind == "string"
        return option.read(text) if text or may_be_empty else None

    def check_together(self, values: Mapping[str, Any]) -> None:
        """Find values that cannot be beside each other."""
        certificate, key = BY_NAME["tls_cert_file"], BY_NAME["tls_key_file"]
        for given, missing in ((certificate, key), (key, certificate)):
            if values[given.name] and not values[missing.name]:
                self.problems.append(
                    f"{self.places[given.name]}: {given.flag} is given without {missing.flag}: "
                    "TLS needs both"
                )
        if problem := webhook_problem(values["budget_webhook"]):
            self.problems.append(f"{self.places['budget_webhook']}: {problem}")
        headers: dict[str, str] = {}
        for name in ("actor_header_id", "actor_header_username", "actor_header_email"):
            header = values[name] or ""
            other = headers.setdefault(header.lower(), name) if header else name
            if other != name:
                place = self.places.get(name) or self.places[other]
                self.problems.append(
                    f"{place}: {BY_NAME[other].flag} and {BY_NAME[name].flag} are the same header "
                    f"{header}: choose another"
                )

    def warn_of_unknown_variables(self) -> None:
        """Warn of variables that look like ours and set nothing."""
        for name in sorted(self._environ):
            is_watched = name.startswith(_WATCHED_PREFIXES)
            # Of all the others only a few: what is nearest takes milliseconds to find.
            if not is_watched and not name.startswith(_OWN_PREFIX):
                continue
            if name in BY_VARIABLE or is_provider_variable(name):
                continue
            near = nearest(name, BY_VARIABLE)
            if is_watched or near:
                self.warnings.append(f"{name}: no such setting, ignored{near}")


def webhook_problem(webhook: Secret) -> str:
    """What is wrong with a webhook's URL, which may hold a token and is not repeated."""
    if not webhook:
        return ""
    try:
        parts = urlsplit(webhook.reveal())
        host = parts.hostname or ""
        is_safe = parts.scheme == "https" or (
            parts.scheme == "http" and Address(host, parts.port or 0).is_loopback
        )
    except ValueError:
        host, is_safe = "", False
    if host and is_safe:
        return ""
    return "a webhook is an https:// URL, or an http:// one of this machine (127.0.0.1, localhost)"


def _anchor(option: Option, typed: object, folder: Path) -> object:
    """Relative paths count from the folder of the file that has them, or the working directory."""
    if option.kind == "path" and isinstance(typed, Path):
        return anchored(typed, folder)
    if option.kind == "output" and typed not in ("", *STANDARD_OUTPUTS):
        return str(anchored(Path(str(typed)), folder))
    return typed


def shown_secret(secret: Secret) -> str:
    """A secret masked, with the reference that it was given as."""
    if not secret.reference:
        return str(secret)
    return f"{secret or 'not read'} ({secret.reference})"


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what sets an option or provider of the gateway."""
    return {
        name: value
        for name, value in environ.items()
        if name not in BY_VARIABLE and not is_provider_variable(name)
    }


def shown_value(settings: Settings, option: Option) -> str:
    """An option's value as text fit to show: secrets masked, or their command's name."""
    value = getattr(settings, option.name)
    if isinstance(value, Secret):
        return shown_secret(value)
    return format_size(value) if option.kind == "size" else text_of(value)
