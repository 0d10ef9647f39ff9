"""Providers as variables and files give them, before anything is judged: `Draft`s.

Each value is read by its own setting here; what settings mean together is `provider_rules`' matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigw.given import Given, Origin, ValueReader
from aigw.options import nearest
from aigw.provider_options import (
    BY_PROVIDER_KEY,
    BY_SUFFIX,
    PROVIDER_OPTIONS,
    VARIABLE_PREFIXES,
    ProviderOption,
    is_provider_variable,
)
from aigw.secrets import is_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aigw.config_file import ConfigFile, ListedTable

# Four digits: more providers than any gateway has, and no number too long to be read.
_VARIABLE = re.compile(
    rf"(?:{'|'.join(VARIABLE_PREFIXES)})(?P<number>0|[1-9]\d{{0,3}})_(?P<suffix>.+)", re.ASCII
)


@dataclass(slots=True)
class Draft:
    """A provider as one source gives it.

    Attributes:
        place: what messages call it, as `CODER_AIBRIDGE_PROVIDER_0` or `PATH:3: providers[0]`.
        label: what a setting is called there, given or not.
        values: by setting, typed, secrets read; those that were given only.
        places: by setting given, where it stands.
        origins: by setting given, where it came from (`str(Origin)`).
    """

    place: str
    label: Callable[[str], str]
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def at(self, setting: str) -> str:
        """Where a setting stands, or the provider when it was not given."""
        return self.places.get(setting, self.place)

    @property
    def name(self) -> str:
        """The provider's name, which is its type unless it says otherwise."""
        name: str = self.values.get("name", self.values.get("type", ""))
        return name


def drafts_from_variables(reader: ValueReader) -> list[Draft]:
    """The providers that numbered variables describe, by number."""
    numbered: dict[int, dict[str, list[Given]]] = {}
    for name in sorted(filter(is_provider_variable, reader.environ)):
        raw = reader.environ[name]
        if not raw.strip():
            continue  # an empty variable is an unset one
        match = _VARIABLE.fullmatch(name)
        if match is None:
            reader.problems.append(
                f"{name}: a provider's variables are {VARIABLE_PREFIXES[0]}<N>_<KEY>, where <N> "
                "counts from 0, without leading zeros"
            )
        elif (option := BY_SUFFIX.get(match["suffix"])) is None:
            known = f"a provider has no {match['suffix']}"
            reader.problems.append(f"{name}: {known}{nearest(match['suffix'], BY_SUFFIX)}")
        else:
            given = Given(raw, Origin("variable", name), name, Path.cwd())
            settings = numbered.setdefault(int(match["number"]), {})
            settings.setdefault(option.name, []).append(given)
    if gap := _gap(numbered):
        reader.problems.append(gap)
    return [_numbered_draft(number, numbered[number], reader) for number in sorted(numbered)]


def _gap(numbered: Mapping[int, object]) -> str:
    """What is wrong with the numbers, if anything."""
    missing = next(number for number in count() if number not in numbered)
    later = min((number for number in numbered if number > missing), default=None)
    if later is None:
        return ""
    prefix = VARIABLE_PREFIXES[0]
    return f"{prefix}{later}: there is no {prefix}{missing}: providers are numbered from 0 without a gap"


def _numbered_draft(number: int, levels: dict[str, list[Given]], reader: ValueReader) -> Draft:
    # Named as the variables that are there: in the earlier manner or the later.
    names = [given.place for level in levels.values() for given in level]
    earlier = any(name.startswith(VARIABLE_PREFIXES[0]) for name in names)
    place = f"{VARIABLE_PREFIXES[0 if earlier else 1]}{number}"
    draft = Draft(place, lambda setting: f"{place}_{setting.upper()}")
    return _filled(draft, levels, reader)


def drafts_from_file(file: ConfigFile, reader: ValueReader) -> list[Draft]:
    """The providers that the configuration file lists, in its order."""
    return [_listed_draft(file, table, reader) for table in file.providers]


def _listed_draft(file: ConfigFile, table: ListedTable, reader: ValueReader) -> Draft:
    levels: dict[str, list[Given]] = {}
    for key, entry in table.entries.items():
        option = BY_PROVIDER_KEY[key]
        if option.kind == "url" and entry.value == "":
            continue
        origin = Origin("file", f"{file.path}:{table.key}.{key}")
        place = file.table_place(table, key)
        given = Given(entry.value, origin, place, file.path.parent, file.path)
        levels.setdefault(option.name, []).append(given)
    draft = Draft(file.table_place(table), lambda setting: setting)
    return _filled(draft, levels, reader)


def _filled(draft: Draft, levels: Mapping[str, list[Given]], reader: ValueReader) -> Draft:
    """Read what was given, in the table's order."""
    for option in PROVIDER_OPTIONS:
        level = levels.get(option.name, [])
        if level and option.replacement:
            reader.warnings.append(f"{level[0].place}: not used: {option.replacement} replaced it")
        elif found := reader.read(option, level):
            typed, given = found
            draft.values[option.name] = _revealed(option, typed, given, reader)
            draft.places[option.name] = given.place
            draft.origins[option.name] = str(given.origin)
    return draft


def _revealed(option: ProviderOption, typed: Any, given: Given, reader: ValueReader) -> Any:
    """A value with its references followed."""
    if not option.secret:
        return typed
    if option.kind == "list":
        return tuple(reader.secret(text, given) for text in typed)
    if option.kind == "mapping":
        return {
            name: reader.secret(text, given).reveal() if is_reference(text) else text.strip()
            for name, text in typed.items()
        }
    return reader.secret(typed, given)
