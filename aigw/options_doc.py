"""docs/options.md, made from the option table: `python -m aigw.options_doc [FILE]`."""

from __future__ import annotations

import sys
from pathlib import Path

from aigw.options import GROUPS, OPTIONS, Option
from aigw.price_settings import RATE_KEYS
from aigw.provider_options import PROVIDER_OPTIONS, VARIABLE_PREFIXES, ProviderOption
from aigw.provider_types import PROVIDER_TYPES

_INTRODUCTION = """\
# Options

<!-- Made by `python -m aigw.options_doc` from the tables in aigw. Do not edit. -->

Every option of `aigw serve` is a flag, an environment variable and a key of the configuration file.
The first of these that is given counts: flag, variable, file, default. `aigw config show --origin`
tells which one it was.

- The file is TOML or YAML. Without `--config` it is `config.toml`, `config.yaml` or `config.yml` in
  the platform's configuration folder: `aigw config path` prints it, `aigw config init` writes one,
  `aigw config check FILE` finds what is wrong with one. A dotted key is a table:
  `aibridge.retention` is `retention` under `[aibridge]`.
- A name, or a value, that aigw does not know is an error. Only unknown variables that start with
  `CODER_AIBRIDGE_` or `CODER_AI_GATEWAY_` are no more than a warning.
- An option that has two names may be given under either. Given under both, they must agree.
- An empty variable counts as not set, but for `--log-human`, `--log-json` and `--log-filter`.
- A **switch** is `--name`, `--name=true` or `--name=false`; elsewhere `true` or `false` (also
  `yes`, `no`, `on`, `off`, `1`, `0`, `t`, `f`).
- A **duration** is a number with a unit, or several of them: `w`, `d`, `h`, `m`, `s`, `ms`, `us`,
  as in `60d`, `1h30m`, `1.5h` or `1w2d`.
- A **size** is a number of bytes, or one with `KB`, `MB`, `GB` (thousands) or `KiB`, `MiB`, `GiB`
  (1024s).
- An **address** is `HOST:PORT`; IPv6 as `[::1]:4001`, every interface as `:4001`.
- A relative **path** counts from the working directory, in the file from the file's folder. `~` is
  the home folder.
- A **secret** is better not written down. `env:NAME` reads a variable, `file:PATH` the first line
  of a file, and `cmd:COMMAND` the first line that a command prints (no shell; ten seconds at most).
"""

_MANY = f"""\
## Many providers

The options under "Providers" describe one provider each of OpenAI, Anthropic and Bedrock. Any
number of others, also several of one type, are described by numbered variables or in the file. All
of them together are served. The providers `openai` and `anthropic` are always there, unless another
one takes that name. `aigw providers list --origin` shows them all, and `aigw providers test NAME`
sends one a real request with each of its keys.

- A variable is `{VARIABLE_PREFIXES[0]}<N>_<KEY>`; `{VARIABLE_PREFIXES[1]}<N>_<KEY>`
  means the same. `<N>` counts from 0 without a gap.
- In TOML each is a table `[[providers]]`, in YAML an entry of the list `providers:`.
- A **list** is a list in the file, and separated by commas in a variable. A **table** is a table in
  the file, and `NAME=VALUE,NAME=VALUE` in a variable.
- A provider's name is its route, so it is unique and not the name of a page of the gateway's own.
- An `anthropic` provider with a setting of Bedrock is served from Amazon Bedrock, and so is the
  provider `anthropic` when the option for Bedrock's region or base URL is given and no Anthropic
  key. With such a key too, the latter is a provider `bedrock` beside it.
- An `openai` provider named `chatgpt` without a base URL is that of a ChatGPT plan.

| type | base URL | key |
| --- | --- | --- |
"""

_PRICES = f"""\
## Prices

Of models, where you know better than the price list: each is a table `[[prices]]`, or an entry of the
list `prices:` in YAML. It has `model` (in which `*` stands for any text) and may have `provider` (a
name or a type). {", ".join(f"`{key}`" for key in RATE_KEYS)} are whole numbers of micro-dollars per
million tokens: 3000000 is $3.00. [Prices](prices.md) says the rest.
"""

_KINDS = {
    "bool": "switch",
    "string": "text",
    "int": "whole number",
    "url": "URL",
    "output": "path, `/dev/stderr`, `/dev/stdout` or empty",
    "regex": "regular expression",
    "header": "name of a header",
    "mapping": "table",
    "percents": "percentages separated by commas, or `none`",
    "command": "command line, run without a shell",
}
_KINDS_OF_MANY = {"list": "list", "mapping": "table"}
_PLATFORM_DEFAULTS = {"db": "`aigw.db` in the platform's data folder"}


def options_page() -> str:
    """The text of docs/options.md."""
    parts = [_INTRODUCTION]
    for group in GROUPS:
        parts.append(f"## {group}\n")
        parts += [_section(option) for option in OPTIONS if option.group == group]
    parts.append(_MANY + "".join(_type_row(name) for name in PROVIDER_TYPES))
    parts += [_provider_section(option) for option in PROVIDER_OPTIONS]
    parts.append(_PRICES)
    return "\n".join(parts)


def _section(option: Option) -> str:
    facts = [
        ("Flag", _code(option.flag, *([option.short] if option.short else []))),
        ("Variable", _code(option.variable)),
        ("File key", _code(option.key) if option.key else "none"),
        ("Value", _value(option)),
        ("Default", _default(option)),
    ]
    aliases = (*option.flag_aliases, *option.variable_aliases, *option.key_aliases)
    if aliases:
        facts.append(("Also accepted", _code(*aliases)))
    lines = "\n".join(f"- {name}: {fact}" for name, fact in facts)
    return f"### {option.name}\n\n{option.help}\n\n{lines}\n"


def _type_row(name: str) -> str:
    facts = PROVIDER_TYPES[name]
    address = _code(facts.base_url) if facts.base_url else "to be given"
    if name == "bedrock":
        address = "the region's"
    key = "the user's own login" if facts.is_personal else "yes"
    return f"| `{name}` | {address} | {key} |\n"


def _provider_section(option: ProviderOption) -> str:
    facts = [("Variable", _code(*option.suffixes)), ("File key", _code(*option.keys))]
    if not option.replacement:
        facts.append(("Value", _value(option)))
    if option.default:
        facts.append(("Default", _code(option.default)))
    if option.types:
        facts.append(("Types", _code(*option.types)))
    if option.replacement:
        facts.append(("Replaced by", _code(option.replacement)))
    lines = "\n".join(f"- {name}: {fact}" for name, fact in facts)
    return f"### Provider: {option.name}\n\n{option.help}\n\n{lines}\n"


def _value(option: Option | ProviderOption) -> str:
    if option.choices:
        return " or ".join(f"`{choice}`" for choice in option.choices)
    if option.secret and option.kind in _KINDS_OF_MANY:
        return f"{_KINDS_OF_MANY[option.kind]} of secrets"
    return "secret" if option.secret else _KINDS.get(option.kind, option.kind)


def _default(option: Option) -> str:
    if callable(option.default):
        return _PLATFORM_DEFAULTS[option.name]
    return _code(option.default) if option.default else "none"


def _code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/options.md")
    target.write_text(options_page(), encoding="utf-8", newline="\n")
