"""The option table: every setting of the gateway, declared once.

Flags, environment variables, file keys, `--help`, `aigw config`, the completions and
docs/options.md are all made from `OPTIONS`. A new option is one more entry here and one more
attribute in `settings.Settings`; a test holds the two together.

The `aibridge` names are those of Coder's AI Bridge; the later `ai-gateway` names of the same
options are accepted as hidden aliases. A name that does nothing yet is not declared.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from aigw.gateway_options import ACCESS, AIBRIDGE, BUDGETS, GATEWAY_OPTIONS, PROVIDERS
from aigw.option import Option
from aigw.server_options import LOGGING, METRICS, SERVER, SERVER_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUPS = (AIBRIDGE, PROVIDERS, ACCESS, BUDGETS, SERVER, LOGGING, METRICS)
"""The headings of `--help` and docs/options.md, in order."""


OPTIONS: tuple[Option, ...] = (*GATEWAY_OPTIONS, *SERVER_OPTIONS)
"""In the order of `--help`."""

BY_NAME = {option.name: option for option in OPTIONS}
BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}
BY_VARIABLE = {variable: option for option in OPTIONS for variable in option.variables}
BY_KEY = {key: option for option in OPTIONS for key in option.keys}


__all__ = [
    "ACCESS",
    "AIBRIDGE",
    "BUDGETS",
    "BY_FLAG",
    "BY_KEY",
    "BY_NAME",
    "BY_VARIABLE",
    "GROUPS",
    "LOGGING",
    "METRICS",
    "OPTIONS",
    "PROVIDERS",
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
