"""The list of providers: from the single options, numbered variables and the configuration file.

`openai` and `anthropic` are always there, without a key unless one is given; a provider of either
name that variables or the file describe takes the place of one that no option describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aigw.given import Origin, ValueReader, is_set
from aigw.options import BY_NAME
from aigw.provider_bedrock import region_of_aws
from aigw.provider_drafts import Draft, drafts_from_file, drafts_from_variables
from aigw.provider_rules import settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aigw.config_file import ConfigFile
    from aigw.provider_settings import ProviderSettings

_BEDROCK_SETTINGS = (
    "bedrock_region",
    "bedrock_base_url",
    "bedrock_access_key",
    "bedrock_access_key_secret",
    "bedrock_model",
    "bedrock_small_fast_model",
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The single options as they were resolved: values, origins, and places for messages."""

    values: Mapping[str, Any]
    origins: Mapping[str, Origin]
    places: Mapping[str, str]

    def is_given(self, option: str) -> bool:
        """Whether an option says something else than its default does."""
        if self.origins[option].source == "default":
            return False
        value = self.values[option]
        if hasattr(value, "reference"):
            return is_set(value)
        return value is not None and value != BY_NAME[option].default_text()


def resolve_providers(
    resolved: Resolved, file: ConfigFile | None, reader: ValueReader
) -> tuple[ProviderSettings, ...]:
    """All providers; what is wrong with them is in the reader's problems."""
    described = drafts_from_variables(reader)
    if file is not None:
        described += drafts_from_file(file, reader)
    single = _single_drafts(resolved, reader)
    names = {draft.name for draft in described}
    kept = [draft for draft in single if draft.places or draft.name not in names]
    drafts = kept + described
    _refuse_duplicates(drafts, reader)
    allow_byok: bool = resolved.values["allow_byok"]
    settled = (settle(draft, reader, allow_byok=allow_byok) for draft in drafts)
    return tuple(provider for provider in settled if provider is not None)


def _refuse_duplicates(drafts: list[Draft], reader: ValueReader) -> None:
    first: dict[str, Draft] = {}
    for draft in drafts:
        other = first.setdefault(draft.name, draft)
        if other is not draft and draft.name:
            reader.problems.append(
                f'{draft.at("name")}: duplicate provider name: "{draft.name}", which {other.place} '
                "has too: keep one, or name one otherwise"
            )


def _single_drafts(resolved: Resolved, reader: ValueReader) -> list[Draft]:
    """The providers of the single options. Without Anthropic's key, Bedrock serves `anthropic`."""
    openai = _draft(resolved, "openai", {"openai_base_url": "base_url", "openai_key": "key"})
    anthropic = _draft(
        resolved, "anthropic", {"anthropic_base_url": "base_url", "anthropic_key": "key"}
    )
    bedrock = _draft(resolved, "bedrock", {name: name for name in _BEDROCK_SETTINGS})
    if not _is_wanted(bedrock, reader):
        return [openai, anthropic]
    if resolved.is_given("anthropic_key"):
        reader.warnings.append(
            f"{bedrock.place}: Anthropic's key is configured as well: 'anthropic' goes to "
            "Anthropic, and Bedrock is served as 'bedrock'"
        )
        return [openai, anthropic, bedrock]
    if "base_url" in anthropic.places:
        reader.warnings.append(
            f"{anthropic.places['base_url']}: not used: 'anthropic' is served from Amazon Bedrock"
        )
    bedrock.values["name"] = "anthropic"
    return [openai, bedrock]


def _is_wanted(bedrock: Draft, reader: ValueReader) -> bool:
    """Whether the options ask for Bedrock; a model alone does not."""
    decisive = [name for name in bedrock.places if "model" not in name]
    if decisive:
        return True
    for name, place in bedrock.places.items():
        region = " (AWS_REGION alone does not count)" if region_of_aws(reader.environ) else ""
        reader.warnings.append(
            f"{place}: {name} has no effect without a Bedrock region or base URL{region}"
        )
    return False


def _draft(resolved: Resolved, kind: str, settings: Mapping[str, str]) -> Draft:
    """A provider of the single options: `settings` are options and the settings that they are."""
    draft = Draft("", lambda setting: BY_NAME[setting].flag)
    draft.values["type"] = kind
    for option, setting in settings.items():
        if resolved.is_given(option):
            draft.values[setting] = resolved.values[option]
            draft.places[setting] = resolved.places[option]
            draft.origins[setting] = str(resolved.origins[option])
    draft.place = next(iter(draft.places.values()), kind)
    return draft
