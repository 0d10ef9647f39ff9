"""Which Bedrock model a requested name leads to, by which rule, and what it accepts."""

from __future__ import annotations

import pytest

from aigw.provider_settings import BedrockSettings
from aigw.providers.bedrock_models import (
    choose_model,
    counted_model,
    family_of,
    is_bedrock_id,
)
from aigw.providers.bedrock_table import EFFORT_FLAG

MODEL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
SMALL = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
APPLICATION = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-6-v1"
TABLE = {
    "claude-opus-*": "us.anthropic.claude-opus-4-6-v1",
    "claude-*-20250929": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "claude-opus-4-1": "never: an earlier pattern matches",
    "fast-haiku": "amazon.nova-lite-v1:0",
    "us.anthropic.claude-2": APPLICATION,
}


@pytest.mark.parametrize(
    ("requested", "model", "rule"),
    [
        ("claude-opus-4-1", TABLE["claude-opus-*"], "bedrock table claude-opus-*"),
        ("CLAUDE-OPUS-5", TABLE["claude-opus-*"], "bedrock table claude-opus-*"),
        (
            "claude-sonnet-4-5-20250929",
            TABLE["claude-*-20250929"],
            "bedrock table claude-*-20250929",
        ),
        ("fast-haiku", "amazon.nova-lite-v1:0", "bedrock table fast-haiku"),
        ("us.anthropic.claude-2", APPLICATION, "bedrock table us.anthropic.claude-2"),
        ("anthropic.claude-3-haiku-20240307-v1:0", None, None),
        ("us.anthropic.claude-sonnet-4-6", None, None),
        ("us-gov.anthropic.claude-3-5-sonnet-20240620-v1:0", None, None),
        ("openai.gpt-oss-120b-1:0", None, None),
        (APPLICATION, None, None),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/x", None, None),
        ("claude-3-5-haiku-latest", SMALL, "bedrock small fast model"),
        ("Claude-HAIKU-4-5", SMALL, "bedrock small fast model"),
        ("claude-sonnet-4-6", MODEL, "bedrock model"),
        ("gpt-5", MODEL, "bedrock model"),
        ("gpt-4.1", MODEL, "bedrock model"),
        ("", MODEL, "bedrock model"),
        (MODEL, None, None),
        (SMALL, None, None),
    ],
)
def test_the_model_for_a_name(requested: str, model: str | None, rule: str | None) -> None:
    settings = BedrockSettings(region="us-east-1", models=TABLE)
    assert choose_model(settings, requested) == (model or requested, rule)


@pytest.mark.parametrize(
    ("requested", "model"),
    [
        ("gpt-5", "gpt-5"),
        ("my-imported-model", "my-imported-model"),
        ("claude-sonnet-9", MODEL),
        ("some-haiku", SMALL),
        ("..", MODEL),
        ("", MODEL),
    ],
)
def test_unknown_names_pass_where_the_operator_says_so(requested: str, model: str) -> None:
    settings = BedrockSettings(region="us-east-1", pass_unknown=True)
    assert choose_model(settings, requested).model == model


def test_a_table_that_names_what_was_asked_for_is_no_rule() -> None:
    settings = BedrockSettings(region="us-east-1", models={"claude-x": "claude-x"})
    assert choose_model(settings, "claude-x") == ("claude-x", None)


@pytest.mark.parametrize("name", ["anthropic.", "qwen2.5-coder", "example.com", "arn:aws:s3:x", ""])
def test_what_is_no_id_of_bedrock(name: str) -> None:
    assert not is_bedrock_id(name)


@pytest.mark.parametrize(
    ("model", "requested", "adaptive", "budget", "effort"),
    [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "", False, True, False),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "", False, True, False),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "", False, True, False),
        (MODEL, "claude-opus-4-8", False, True, False),
        ("global.anthropic.claude-opus-4-5-20251101-v1:0", "", False, True, False),
        ("us.anthropic.claude-opus-4-6-v1", "", True, True, True),
        ("us.anthropic.claude-sonnet-4-6", "", True, True, True),
        ("global.anthropic.claude-opus-4-7", "", True, False, True),
        ("anthropic.claude-sonnet-4-7-v1:0", "", True, True, True),
        ("anthropic.claude-opus-5-20270101-v1:0", "", True, True, True),
        ("anthropic.claude-haiku-5", "", True, True, True),
        (PROFILE, "claude-3-opus", True, True, True),
        (APPLICATION, "claude-sonnet-4-5", False, True, False),
        (APPLICATION, "claude-opus-4-7", True, False, True),
        (APPLICATION, APPLICATION, True, True, True),
        ("amazon.nova-pro-v1:0", "whatever", True, True, True),
    ],
)
def test_what_models_accept(
    model: str, requested: str, adaptive: bool, budget: bool, effort: bool
) -> None:
    family = family_of(model, requested)
    assert (family.adaptive, family.budget, family.effort) == (adaptive, budget, effort)
    assert (EFFORT_FLAG in family.betas) == ("opus-4-5" in model)


@pytest.mark.parametrize(
    ("model", "counted"),
    [
        ("us.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6"),
        (MODEL, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6"),
        ("google.gemma-3-4b-it", "google.gemma-3-4b-it"),
        (PROFILE, "anthropic.claude-opus-4-6-v1"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2", "anthropic.claude-v2"),
        (APPLICATION, None),
    ],
)
def test_tokens_are_counted_by_the_foundation_model(model: str, counted: str | None) -> None:
    assert counted_model(model) == counted
