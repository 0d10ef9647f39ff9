from __future__ import annotations

import dataclasses
import re
from collections import Counter

import pytest

from aigw.option_values import READERS
from aigw.options import BY_FLAG, BY_KEY, BY_NAME, BY_VARIABLE, GROUPS, OPTIONS, nearest
from aigw.settings import Settings


def test_no_name_is_given_twice() -> None:
    for names in (
        [o.name for o in OPTIONS],
        [flag for o in OPTIONS for flag in o.flags],
        [variable for o in OPTIONS for variable in o.variables],
        [key for o in OPTIONS for key in o.keys],
    ):
        assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_option_is_an_attribute_of_the_settings() -> None:
    attributes = {f.name for f in dataclasses.fields(Settings)} - {
        "origins",
        "warnings",
        "providers",
        "prices",
    }
    assert attributes == set(BY_NAME)


def test_names_have_their_form() -> None:
    for option in OPTIONS:
        assert option.kind in READERS
        assert option.group in GROUPS
        assert option.help.endswith((".", "'"))
        for flag in option.flags:
            assert re.fullmatch(r"--[a-z][a-z-]+|-[a-z]", flag)
        for variable in option.variables:
            assert re.fullmatch(r"(CODER|AIGW)_[A-Z_]+", variable)
        for key in option.keys:
            assert re.fullmatch(r"[a-z_]+(\.[A-Za-z_]+)+", key)


def test_no_key_is_also_a_table() -> None:
    assert not any(other.startswith(f"{key}.") for key in BY_KEY for other in BY_KEY)


def test_defaults_are_allowed_values() -> None:
    for option in OPTIONS:
        text = option.default_text()
        if text:
            option.read(text)


@pytest.mark.parametrize(
    ("flag", "variable", "key"),
    [
        ("enabled", "ENABLED", "enabled"),
        ("openai-base-url", "OPENAI_BASE_URL", "openai_base_url"),
        ("openai-key", "OPENAI_KEY", "openai_key"),
        ("anthropic-base-url", "ANTHROPIC_BASE_URL", "anthropic_base_url"),
        ("anthropic-key", "ANTHROPIC_KEY", "anthropic_key"),
        ("retention", "RETENTION", "retention"),
        ("structured-logging", "STRUCTURED_LOGGING", "structured_logging"),
    ],
)
def test_the_names_of_both_eras_mean_the_same(flag: str, variable: str, key: str) -> None:
    option = BY_FLAG[f"--aibridge-{flag}"]
    assert BY_FLAG[f"--ai-gateway-{flag}"] is option
    assert BY_VARIABLE[f"CODER_AIBRIDGE_{variable}"] is option
    assert BY_VARIABLE[f"CODER_AI_GATEWAY_{variable}"] is option
    assert BY_KEY[f"aibridge.{key}"] is option
    assert BY_KEY[f"ai_gateway.{key}"] is option


@pytest.mark.parametrize(
    ("flag", "variable", "key"),
    [
        ("--http-address", "CODER_HTTP_ADDRESS", "networking.http.httpAddress"),
        ("--http-address", "CODER_AI_GATEWAY_HTTP_ADDRESS", "networking.http.http_address"),
        ("--log-human", "CODER_LOGGING_HUMAN", "introspection.logging.humanPath"),
        ("--log-json", "CODER_LOGGING_JSON", "introspection.logging.json_path"),
        ("-l", "CODER_LOG_FILTER", "introspection.logging.filter"),
        ("--prometheus-enable", "CODER_PROMETHEUS_ENABLE", "introspection.prometheus.enable"),
        ("--prometheus-address", "CODER_PROMETHEUS_ADDRESS", "introspection.prometheus.address"),
    ],
)
def test_the_other_names_are_coders_too(flag: str, variable: str, key: str) -> None:
    assert BY_FLAG[flag] is BY_VARIABLE[variable] is BY_KEY[key]


def test_the_names_of_budgets_are_coders_where_it_has_them() -> None:
    for name in ("policy", "period"):
        option = BY_FLAG[f"--ai-budget-{name}"]
        assert BY_VARIABLE[f"CODER_AI_BUDGET_{name.upper()}"] is option
        assert BY_KEY[f"ai_gateway.budget_{name}"] is option


def test_what_has_no_effect_yet_is_not_declared() -> None:
    for word in ("proxy-", "mcp", "trace"):
        assert not [flag for flag in BY_FLAG if word in flag]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("--aibridge-enable", "--aibridge-enabled"),
        ("--ai-gateway-retentoin", "--ai-gateway-retention"),
        ("--promethus-enable", "--prometheus-enable"),
        ("--aibrige-enabled", "--aibridge-enabled"),
        ("--aibridge-bedrock-small-fast-modle", "--aibridge-bedrock-small-fast-model"),
        ("--aibridge-inject-coder-mcp-tools", None),
        ("CODER_AIBRIDGE_OPENAI_URL", "CODER_AIBRIDGE_OPENAI_BASE_URL"),
        ("CODER_AI_GATEWAY_BUDGET_POLICY", None),
        ("CODER_HTTP_ADRESS", "CODER_HTTP_ADDRESS"),
        ("aibridge.retentoin", "aibridge.retention"),
        ("aibridg.retention", "aibridge.retention"),
        ("nonsense", None),
    ],
)
def test_nearest(word: str, near: str | None) -> None:
    for names in (BY_FLAG, BY_VARIABLE, BY_KEY):
        if near in names:
            assert nearest(word, names) == f" (did you mean {near}?)"
            return
    assert near is None
    assert [nearest(word, names) for names in (BY_FLAG, BY_VARIABLE, BY_KEY)] == ["", "", ""]
