"""Where providers come from, what their settings mean together, and every error there is."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aigw.errors import ConfigError
from aigw.provider_options import PROVIDER_OPTIONS, VARIABLE_PREFIXES
from aigw.provider_settings import BedrockSettings, ProviderSettings
from aigw.provider_types import PROVIDER_TYPES
from aigw.settings import Settings, resolve, without_settings
from tests.home import use_home

CANARY = "sk-canary-0123456789abcdef"
ONE = "CODER_AIBRIDGE_PROVIDER_0"
DEFAULT_MODEL = BedrockSettings().model


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return use_home(monkeypatch, tmp_path / "home")


def numbered(*providers: dict[str, str], prefix: str = VARIABLE_PREFIXES[0]) -> dict[str, str]:
    """The variables of providers, in order."""
    return {
        f"{prefix}{number}_{suffix}": text
        for number, provider in enumerate(providers)
        for suffix, text in provider.items()
    }


def write(tmp_path: Path, text: str, name: str = "c.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def by_name(settings: Settings) -> dict[str, ProviderSettings]:
    names = [provider.name for provider in settings.providers]
    assert len(set(names)) == len(names)
    return {provider.name: provider for provider in settings.providers}


def one(environ: dict[str, str], name: str) -> ProviderSettings:
    return by_name(resolve({}, environ))[name]


def problems(
    environ: dict[str, str],
    path: Path | None = None,
    flags: dict[str, object] | None = None,
    **options: Any,
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(flags or {}, environ, config_path=path, **options)
    assert caught.value.exit_code == 2
    assert CANARY not in str(caught.value)
    return list(caught.value.problems)


def test_two_are_there_by_default() -> None:
    openai, anthropic = resolve({}, {}).providers
    assert (openai.type, openai.name, openai.base_url) == (
        "openai",
        "openai",
        "https://api.openai.com/v1",
    )
    assert (anthropic.type, anthropic.name, anthropic.base_url) == (
        "anthropic",
        "anthropic",
        "https://api.anthropic.com",
    )
    for provider in (openai, anthropic):
        assert provider.enabled
        assert (provider.keys, provider.bedrock, provider.origins) == ((), None, {})


def test_the_single_options_describe_them() -> None:
    settings = resolve(
        {"--aibridge-openai-base-url": "http://localhost:1/v1/"},
        {"CODER_AI_GATEWAY_ANTHROPIC_KEY": CANARY},
    )
    openai, anthropic = settings.providers
    assert openai.base_url == "http://localhost:1/v1"
    assert openai.origins == {"base_url": "flag --aibridge-openai-base-url"}
    assert [key.reveal() for key in anthropic.keys] == [CANARY]
    assert anthropic.origins == {"key": "variable CODER_AI_GATEWAY_ANTHROPIC_KEY"}
    assert CANARY not in repr(settings)


VARIABLES = numbered(
    {
        "TYPE": "openai",
        "NAME": "team-a",
        "ENABLED": "false",
        "BASE_URL": "https://one.example/v1/",
        "KEYS": "k-one, k-two",
        "KEY_COOLDOWN": "2m",
        "HEADERS": "X-Team=a, X-Token=env:TOKEN",
        "ALLOW_MODELS": "gpt-*, o3",
        "DENY_MODELS": "gpt-4",
        "MODEL_ALIASES": "best=gpt-5,fast=gpt-5-mini",
        "ALLOW_BYOK": "no",
    },
    {
        "TYPE": "bedrock",
        "BEDROCK_REGION": "eu-central-1",
        "BEDROCK_BASE_URL": "http://localhost:9/",
        "BEDROCK_ACCESS_KEYS": "AKIA1,AKIA2",
        "BEDROCK_ACCESS_KEY_SECRETS": "s1,s2",
        "BEDROCK_MODEL": "m1",
        "BEDROCK_SMALL_FASTMODEL": "m2",
        "BEDROCK_MODELS": "claude-opus-*=m3,claude-*=m4",
        "BEDROCK_PROTOCOL": "mantle",
        "BEDROCK_PASS_UNKNOWN": "true",
    },
)
TOML = """\
[[providers]]
type = "openai"
name = "team-a"
enabled = false
base_url = "https://one.example/v1/"
keys = ["k-one", "k-two"]
key_cooldown = "2m"
headers = { X-Team = "a", X-Token = "env:TOKEN" }
allow_models = ["gpt-*", "o3"]
deny_models = ["gpt-4"]
allow_byok = false
[providers.model_aliases]
best = "gpt-5"
fast = "gpt-5-mini"

[[providers]]
type = "bedrock"
bedrock_region = "eu-central-1"
bedrock_base_url = "http://localhost:9/"
bedrock_access_keys = ["AKIA1", "AKIA2"]
bedrock_access_key_secrets = ["s1", "s2"]
bedrock_model = "m1"
bedrock_small_fast_model = "m2"
bedrock_protocol = "mantle"
bedrock_pass_unknown = true
bedrock_models = { "claude-opus-*" = "m3", "claude-*" = "m4" }
"""
YAML = """\
providers:
  - type: openai
    name: team-a
    enabled: false
    base_url: https://one.example/v1/
    keys: [k-one, k-two]
    key_cooldown: 2m
    headers: {X-Team: a, X-Token: "env:TOKEN"}
    allow_models: [gpt-*, o3]
    deny_models:
      - gpt-4
    model_aliases:
      best: gpt-5
      fast: gpt-5-mini
    allow_byok: no
  - type: bedrock
    bedrock_region: eu-central-1
    bedrock_base_url: http://localhost:9/
    bedrock_access_keys: [AKIA1, AKIA2]
    bedrock_access_key_secrets: [s1, s2]
    bedrock_model: m1
    bedrock_small_fastmodel: m2
    bedrock_models:
      claude-opus-*: m3
      claude-*: m4
    bedrock_protocol: mantle
    bedrock_pass_unknown: true
"""
TOKEN = {"TOKEN": CANARY}


def described(settings: Settings) -> list[ProviderSettings]:
    """What sources of any kind must agree on: all but where it came from."""
    return [
        replace(provider, origins={})
        for provider in settings.providers
        if provider.name in {"team-a", "bedrock"}
    ]


def test_variables_toml_and_yaml_give_the_same(tmp_path: Path) -> None:
    from_variables = described(resolve({}, VARIABLES | TOKEN))
    team, bedrock = from_variables
    assert (team.type, team.enabled, team.base_url) == ("openai", False, "https://one.example/v1")
    assert [key.reveal() for key in team.keys] == ["k-one", "k-two"]
    assert team.key_cooldown == timedelta(minutes=2)
    assert team.headers == {"X-Team": "a", "X-Token": CANARY}
    assert (team.allow_models, team.deny_models) == (("gpt-*", "o3"), ("gpt-4",))
    assert team.model_aliases == {"best": "gpt-5", "fast": "gpt-5-mini"}
    assert team.allow_byok is False
    assert bedrock.bedrock is not None
    pairs = [(key.reveal(), secret.reveal()) for key, secret in bedrock.bedrock.access_keys]
    assert pairs == [("AKIA1", "s1"), ("AKIA2", "s2")]
    assert replace(bedrock.bedrock, access_keys=()) == BedrockSettings(
        region="eu-central-1",
        base_url="http://localhost:9",
        model="m1",
        small_fast_model="m2",
        models={"claude-opus-*": "m3", "claude-*": "m4"},
        protocol="mantle",
        pass_unknown=True,
    )
    assert list(bedrock.bedrock.models) == ["claude-opus-*", "claude-*"]
    later = {name.replace("AIBRIDGE", "AI_GATEWAY"): text for name, text in VARIABLES.items()}
    assert described(resolve({}, later | TOKEN)) == from_variables
    for path in (write(tmp_path, TOML), write(tmp_path, YAML, "c.yaml")):
        settings = resolve({}, TOKEN, config_path=path)
        assert described(settings) == from_variables
        assert settings.warnings == ()
        assert CANARY not in repr(settings)
        origin = by_name(settings)["team-a"].origins["keys"]
        assert origin == f"file {path}:providers[0].keys"


def test_every_setting_is_in_the_tests_above() -> None:
    given = {name.split("_", 4)[4] for name in VARIABLES}
    single = {"KEY", "DUMP_DIR", "BEDROCK_PROFILE", "BEDROCK_SESSION_TOKEN"}
    single |= {"BEDROCK_ACCESS_KEY", "BEDROCK_ACCESS_KEY_SECRET"}
    for option in PROVIDER_OPTIONS:
        assert given.intersection(option.suffixes) or single.intersection(option.suffixes)


def test_sources_merge_into_one_list(tmp_path: Path) -> None:
    path = write(tmp_path, "[[providers]]\ntype = 'copilot'\n")
    environ = numbered({"TYPE": "openrouter", "KEY": "k"}, {"TYPE": "google"})
    names = [provider.name for provider in resolve({}, environ, config_path=path).providers]
    assert names == ["openai", "anthropic", "openrouter", "google", "copilot"]


def test_numbers_have_an_order_of_their_own() -> None:
    environ = numbered(*({"TYPE": "openai", "NAME": f"p{number}"} for number in range(12)))
    names = [provider.name for provider in resolve({}, environ).providers]
    assert names[2:] == [f"p{number}" for number in range(12)]


def test_a_default_gives_way_to_a_described_one(tmp_path: Path) -> None:
    environ = numbered({"TYPE": "anthropic", "KEY": "k"})
    assert one(environ, "anthropic").origins["key"] == f"variable {ONE}_KEY"
    # `aigw config init` writes every option at its default: that describes nothing.
    path = write(
        tmp_path,
        "[aibridge]\nanthropic_base_url = 'https://api.anthropic.com/'\nanthropic_key = ''\n",
    )
    assert by_name(resolve({}, environ, config_path=path))["anthropic"].keys


def test_both_eras_may_describe_one_provider() -> None:
    environ = {
        f"{VARIABLE_PREFIXES[0]}0_TYPE": "openai",
        f"{VARIABLE_PREFIXES[1]}0_TYPE": "openai",
        f"{VARIABLE_PREFIXES[1]}0_KEY": "k",
        f"{VARIABLE_PREFIXES[1]}1_TYPE": "anthropic",
    }
    assert one(environ, "openai").keys
    assert "anthropic" in by_name(resolve({}, environ))
    [problem] = problems(environ | {f"{VARIABLE_PREFIXES[1]}0_TYPE": "google"})
    assert problem == (
        "CODER_AIBRIDGE_PROVIDER_0_TYPE and CODER_AI_GATEWAY_PROVIDER_0_TYPE say different things: "
        "set only one"
    )


def test_base_urls_of_types() -> None:
    for kind, facts in PROVIDER_TYPES.items():
        if facts.base_url and kind not in {"openai", "anthropic"}:
            assert one(numbered({"TYPE": kind}), kind).base_url == facts.base_url
    chatgpt = one(numbered({"TYPE": "openai", "NAME": "chatgpt"}), "chatgpt")
    assert (chatgpt.type, chatgpt.base_url) == (
        "chatgpt",
        "https://chatgpt.com/backend-api/codex",
    )
    own = numbered({"TYPE": "openai", "NAME": "chatgpt", "BASE_URL": "http://localhost/v1"})
    assert one(own, "chatgpt").type == "openai"


def test_byok_is_as_the_option_says_unless_the_provider_says() -> None:
    environ = numbered({"TYPE": "google"}, {"TYPE": "azure", "BASE_URL": "http://a/"})
    environ |= {"CODER_AIBRIDGE_ALLOW_BYOK": "false", f"{ONE}_ALLOW_BYOK": "true"}
    providers = by_name(resolve({}, environ))
    assert {name: provider.allow_byok for name, provider in providers.items()} == {
        "openai": False,
        "anthropic": False,
        "google": True,
        "azure": False,
    }


PAIR = {"BEDROCK_ACCESS_KEY": "AKIA", "BEDROCK_ACCESS_KEY_SECRET": CANARY}


def single(**options: str) -> dict[str, str]:
    return {f"CODER_AIBRIDGE_{name}": text for name, text in options.items()}


class TestSingleBedrockOptions:
    """The options `bedrock_*`, as Coder has them."""

    @pytest.mark.parametrize(
        ("environ", "region", "address"),
        [
            (single(BEDROCK_REGION="us-west-2"), "us-west-2", "bedrock-runtime.us-west-2."),
            (
                single(BEDROCK_BASE_URL="https://bedrock-runtime.eu-west-1.amazonaws.com/"),
                "eu-west-1",
                "bedrock-runtime.eu-west-1.",
            ),
            (
                single(
                    BEDROCK_BASE_URL="https://vpce-1-x.bedrock-runtime.us-east-1.vpce.amazonaws.com"
                ),
                "us-east-1",
                "vpce-1-x.bedrock-runtime",
            ),
            (
                single(BEDROCK_BASE_URL="http://localhost:1", BEDROCK_REGION="us-east-1"),
                "us-east-1",
                "http://localhost:1",
            ),
            (single(BEDROCK_BASE_URL="http://localhost:1"), "", "http://localhost:1"),
            (single(**PAIR) | {"AWS_REGION": "sa-east-1"}, "sa-east-1", "sa-east-1"),
            (single(**PAIR) | {"AWS_DEFAULT_REGION": "ca-west-1"}, "ca-west-1", "ca-west-1"),
            (single(BEDROCK_REGION="cn-north-1"), "cn-north-1", ".amazonaws.com.cn"),
        ],
    )
    def test_alone_they_serve_anthropic(
        self, environ: dict[str, str], region: str, address: str
    ) -> None:
        settings = resolve({}, environ)
        provider = by_name(settings)["anthropic"]
        assert [p.name for p in settings.providers] == ["openai", "anthropic"]
        assert provider.type == "bedrock"
        assert provider.keys == ()
        assert address in provider.base_url
        assert provider.bedrock is not None
        assert provider.bedrock.region == region
        assert provider.bedrock.model == DEFAULT_MODEL
        assert settings.warnings == ()

    def test_beside_an_anthropic_key_they_are_a_provider_of_their_own(self) -> None:
        settings = resolve({}, single(BEDROCK_REGION="us-east-1", ANTHROPIC_KEY=CANARY))
        providers = by_name(settings)
        assert list(providers) == ["openai", "anthropic", "bedrock"]
        assert (providers["anthropic"].type, providers["anthropic"].bedrock) == ("anthropic", None)
        assert providers["anthropic"].keys
        assert (providers["bedrock"].type, providers["bedrock"].keys) == ("bedrock", ())
        [warning] = settings.warnings
        assert "Bedrock is served as 'bedrock'" in warning

    def test_an_anthropic_key_that_is_not_read_counts_as_one(self) -> None:
        environ = single(BEDROCK_REGION="us-east-1", ANTHROPIC_KEY="cmd:no-such-program")
        assert len(resolve({}, environ, run_commands=False).providers) == 3

    def test_an_address_of_anthropic_is_of_no_use_then(self) -> None:
        environ = single(BEDROCK_REGION="us-east-1", ANTHROPIC_BASE_URL="http://localhost/")
        [warning] = resolve({}, environ).warnings
        assert warning.startswith("CODER_AIBRIDGE_ANTHROPIC_BASE_URL: not used")

    def test_a_region_of_aws_alone_asks_for_nothing(self) -> None:
        settings = resolve({}, {"AWS_REGION": "us-east-1"} | single(BEDROCK_MODEL="m"))
        assert by_name(settings)["anthropic"].bedrock is None
        [warning] = settings.warnings
        assert warning.startswith("CODER_AIBRIDGE_BEDROCK_MODEL: bedrock_model has no effect")

    @pytest.mark.parametrize(
        ("environ", "flags", "expected"),
        [
            (
                single(BEDROCK_REGION="us-east-1", BEDROCK_ACCESS_KEY=CANARY),
                {},
                (
                    "CODER_AIBRIDGE_BEDROCK_ACCESS_KEY: half of a pair of credentials: "
                    "--aibridge-bedrock-access-key-secret is not given"
                ),
            ),
            (
                single(BEDROCK_REGION="us-east-1", BEDROCK_ACCESS_KEY_SECRET=CANARY),
                {},
                (
                    "CODER_AIBRIDGE_BEDROCK_ACCESS_KEY_SECRET: half of a pair of credentials: "
                    "--aibridge-bedrock-access-key is not given"
                ),
            ),
            (
                single(**PAIR),
                {},
                (
                    "CODER_AIBRIDGE_BEDROCK_ACCESS_KEY: no AWS region: set "
                    "--aibridge-bedrock-region, or AWS_REGION"
                ),
            ),
            (
                single(**PAIR, BEDROCK_BASE_URL="http://localhost"),
                {},
                (
                    "CODER_AIBRIDGE_BEDROCK_BASE_URL: access keys without a region: set "
                    "--aibridge-bedrock-region, or AWS_REGION"
                ),
            ),
            (
                single(BEDROCK_REGION="us-east-1"),
                {"--aibridge-bedrock-model": ""},
                (
                    "--aibridge-bedrock-model: region without model: name a Bedrock model, or leave "
                    "the setting out for the default"
                ),
            ),
            (
                single(BEDROCK_REGION="us-east-1"),
                {"--aibridge-bedrock-small-fastmodel": ""},
                (
                    "--aibridge-bedrock-small-fastmodel: region without model: name a Bedrock model, "
                    "or leave the setting out for the default"
                ),
            ),
            (
                single(BEDROCK_REGION="US East"),
                {},
                "CODER_AIBRIDGE_BEDROCK_REGION: 'US East' is not an AWS region, as us-east-1",
            ),
        ],
    )
    def test_errors(self, environ: dict[str, str], flags: dict[str, object], expected: str) -> None:
        assert problems(environ, flags=flags) == [expected]

    def test_a_name_that_is_described_too_is_an_error(self) -> None:
        environ = single(BEDROCK_REGION="us-east-1") | numbered({"TYPE": "anthropic"})
        [problem] = problems(environ)
        assert problem.startswith(f'{ONE}: duplicate provider name: "anthropic"')
        assert "CODER_AIBRIDGE_BEDROCK_REGION" in problem


def test_an_anthropic_type_with_bedrock_settings_is_bedrocks() -> None:
    provider = one(numbered({"TYPE": "anthropic", "BEDROCK_REGION": "us-east-1"}), "anthropic")
    assert (provider.type, provider.name) == ("bedrock", "anthropic")
    assert provider.bedrock is not None


def test_a_bedrock_type_takes_a_base_url_and_api_keys() -> None:
    environ = numbered(
        {"TYPE": "bedrock", "BASE_URL": "http://localhost:2/", "KEYS": "k1,k2", "NAME": "b"},
        {"TYPE": "bedrock", "NAME": "m", "BEDROCK_REGION": "us-east-1"},
    )
    environ[f"{VARIABLE_PREFIXES[0]}1_BEDROCK_PROTOCOL"] = "mantle"
    provider = one(environ, "b")
    assert provider.bedrock is not None
    assert provider.bedrock.base_url == provider.base_url == "http://localhost:2"
    assert [key.reveal() for key in provider.keys] == ["k1", "k2"]
    assert one(environ, "m").base_url == "https://bedrock-mantle.us-east-1.api.aws/anthropic"


def test_a_profile_may_know_the_region() -> None:
    provider = one(numbered({"TYPE": "bedrock", "BEDROCK_PROFILE": "team"}), "bedrock")
    assert provider.bedrock is not None
    assert (provider.bedrock.profile, provider.bedrock.region) == ("team", "")
    assert provider.base_url == ""


def test_one_temporary_credential() -> None:
    environ = numbered(
        {"TYPE": "bedrock", "BEDROCK_REGION": "us-east-1", "BEDROCK_SESSION_TOKEN": CANARY, **PAIR}
    )
    bedrock = one(environ, "bedrock").bedrock
    assert bedrock is not None
    assert bedrock.session_token is not None
    assert bedrock.session_token.reveal() == CANARY
    assert CANARY not in repr(bedrock)


BEDROCK = {"TYPE": "bedrock", "BEDROCK_REGION": "us-east-1"}
OPENAI = {"TYPE": "openai"}

ERRORS: list[tuple[list[dict[str, str]], str]] = [
    ([{"NAME": "x"}], f"{ONE}: has no type: set {ONE}_TYPE to one of openai, anthropic,"),
    ([{"TYPE": "opanai"}], f"{ONE}_TYPE: unknown provider type 'opanai' (did you mean openai?)"),
    ([{"TYPE": "zzz"}], f"{ONE}_TYPE: unknown provider type 'zzz': use one of openai, anthropic,"),
    (
        [{"TYPE": "openai", "NAME": "My_Name"}],
        (
            f'{ONE}_NAME: invalid provider name "My_Name": must contain only lowercase alphanumeric '
            "characters and hyphens"
        ),
    ),
    ([{"TYPE": "openai", "NAME": "-a"}], f'{ONE}_NAME: invalid provider name "-a": must'),
    ([{"TYPE": "openai", "NAME": "a--b"}], f'{ONE}_NAME: invalid provider name "a--b": must'),
    ([{"TYPE": "openai", "NAME": "a/b"}], f'{ONE}_NAME: invalid provider name "a/b": must'),
    (
        [{"TYPE": "openai", "NAME": "status"}],
        f'{ONE}_NAME: provider name "status" belongs to a page of the gateway\'s own: choose',
    ),
    ([{"TYPE": "openai", "NAME": "api"}], f'{ONE}_NAME: provider name "api" belongs to'),
    (
        [OPENAI, OPENAI],
        (
            'CODER_AIBRIDGE_PROVIDER_1: duplicate provider name: "openai", which '
            f"{ONE} has too: keep one, or name one otherwise"
        ),
    ),
    ([{**OPENAI, "KEY": "a", "KEYS": "b"}], f"{ONE}_KEY and {ONE}_KEYS are both given: keep one"),
    ([{"TYPE": "azure"}], f"{ONE}: a provider of type azure needs a base URL: set {ONE}_BASE_URL"),
    ([{"TYPE": "openai-compat"}], f"{ONE}: a provider of type openai-compat needs a base URL"),
    (
        [{"TYPE": "copilot", "KEY": CANARY}],
        (
            f"{ONE}_KEY: providers of type copilot are used with each user's own login and have no "
            "key: remove it"
        ),
    ),
    ([{**OPENAI, "NAME": "chatgpt", "KEYS": "a"}], f"{ONE}_KEYS: providers of type chatgpt are"),
    (
        [{**OPENAI, "BEDROCK_REGION": "us-east-1"}],
        (
            f"{ONE}_BEDROCK_REGION: only providers of type bedrock or anthropic have this setting, "
            "and this one's is openai"
        ),
    ),
    ([{"TYPE": "bedrock"}], f"{ONE}: no AWS region: set {ONE}_BEDROCK_REGION, or AWS_REGION"),
    (
        [{"TYPE": "anthropic", "BEDROCK_MODEL": "m"}],
        f"{ONE}: no AWS region: set {ONE}_BEDROCK_REGION, or AWS_REGION",
    ),
    (
        [{"TYPE": "anthropic", "BEDROCK_REGION": "us-east-1", "KEY": CANARY}],
        f"{ONE}_KEY: requests go to Amazon Bedrock, which must not get an Anthropic key",
    ),
    (
        [{"TYPE": "anthropic", "BEDROCK_REGION": "us-east-1", "BASE_URL": "http://x"}],
        (
            f"{ONE}_BASE_URL: requests go to Amazon Bedrock: give its address as "
            f"{ONE}_BEDROCK_BASE_URL, or none"
        ),
    ),
    (
        [{**BEDROCK, "BASE_URL": "http://x", "BEDROCK_BASE_URL": "http://y"}],
        f"{ONE}_BASE_URL and {ONE}_BEDROCK_BASE_URL say different things: set only one",
    ),
    ([{**BEDROCK, **PAIR, "KEY": CANARY}], f"{ONE}_KEY: Bedrock API keys and AWS access keys are"),
    (
        [{**BEDROCK, "BEDROCK_ACCESS_KEY": CANARY}],
        (
            f"{ONE}_BEDROCK_ACCESS_KEY: half of a pair of credentials: "
            f"{ONE}_BEDROCK_ACCESS_KEY_SECRET is not given"
        ),
    ),
    (
        [{**BEDROCK, "BEDROCK_ACCESS_KEY_SECRETS": "a,b"}],
        (
            f"{ONE}_BEDROCK_ACCESS_KEY_SECRETS: half of a pair of credentials: "
            f"{ONE}_BEDROCK_ACCESS_KEYS is not given"
        ),
    ),
    (
        [{**BEDROCK, "BEDROCK_ACCESS_KEYS": "a,b", "BEDROCK_ACCESS_KEY_SECRETS": "c"}],
        f"{ONE}: 2 AWS access keys, but 1 secrets: each needs its own",
    ),
    (
        [{**BEDROCK, **PAIR, "BEDROCK_ACCESS_KEYS": "x"}],
        f"{ONE}_BEDROCK_ACCESS_KEY and {ONE}_BEDROCK_ACCESS_KEYS are both given: keep one",
    ),
    (
        [{**BEDROCK, "BEDROCK_SESSION_TOKEN": CANARY}],
        f"{ONE}_BEDROCK_SESSION_TOKEN: a session token goes with one access key and its secret",
    ),
    (
        [{**BEDROCK, **PAIR, "BEDROCK_PROFILE": "p"}],
        f"{ONE}_BEDROCK_PROFILE: a profile and access keys are both given: keep one",
    ),
    (
        [{**BEDROCK, "BEDROCK_PROTOCOL": "converse"}],
        f"{ONE}_BEDROCK_PROTOCOL: 'converse' is not one of invoke, mantle",
    ),
    ([{**OPENAI, "HEADERS": "Authorization=x"}], f"{ONE}_HEADERS: 'Authorization' is reserved"),
    ([{**OPENAI, "HEADERS": "Transfer-Encoding=x"}], f"{ONE}_HEADERS: 'Transfer-Encoding' is"),
    ([{**OPENAI, "HEADERS": "X Y=x"}], f"{ONE}_HEADERS: 'X Y' is not the name of a header"),
    ([{**OPENAI, "HEADERS": "X-A=b,x-a=c"}], f"{ONE}_HEADERS: 'X-A' and 'x-a' are the same"),
    ([{**OPENAI, "HEADERS": CANARY}], f"{ONE}_HEADERS: this is not a list of pairs"),
    (
        [{**OPENAI, "HEADERS": f"X-A={CANARY}\r\nHost: x"}],
        f"{ONE}_HEADERS: the value of 'X-A' has a line break",
    ),
    ([{**OPENAI, "HEADERS": "X-A=env:NOPE"}], f"{ONE}_HEADERS: the environment variable NOPE is"),
    ([{**OPENAI, "KEY": "env:NOPE"}], f"{ONE}_KEY: the environment variable NOPE is not set"),
    ([{**OPENAI, "KEYS": "file:/no/such"}], f"{ONE}_KEYS: cannot read /no/such: No such file"),
    ([{**OPENAI, "KEY": f"{CANARY} x"}], f"{ONE}_KEY: the value has characters that no API key"),
    ([{**OPENAI, "KEY_COOLDOWN": "0"}], f"{ONE}_KEY_COOLDOWN: must be more than 0"),
    ([{**OPENAI, "ENABLED": "perhaps"}], f"{ONE}_ENABLED: 'perhaps' is not a switch"),
    (
        [{**OPENAI, "BASE_URL": f"https://me:{CANARY}@x"}],
        f"{ONE}_BASE_URL: a base URL holds no user or password",
    ),
    ([{**OPENAI, "MODEL_ALIASES": "a="}], f"{ONE}_MODEL_ALIASES: 'a' = '': both need a model's"),
    ([{**OPENAI, "BASEURL": "x"}], f"{ONE}_BASEURL: a provider has no BASEURL (did you mean BASE_"),
    ([{**OPENAI, "QQQ": "x"}], f"{ONE}_QQQ: a provider has no QQQ"),
]


@pytest.mark.parametrize(("providers", "expected"), ERRORS, ids=[e for _, e in ERRORS])
def test_errors(providers: list[dict[str, str]], expected: str) -> None:
    [problem] = problems(numbered(*providers))
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("CODER_AIBRIDGE_PROVIDER_01_TYPE", ": a provider's variables are CODER_AIBRIDGE_PROVIDER"),
        ("CODER_AIBRIDGE_PROVIDER_X_TYPE", ": a provider's variables are CODER_AIBRIDGE_PROVIDER"),
        ("CODER_AI_GATEWAY_PROVIDER_TYPE", ": a provider's variables are CODER_AIBRIDGE_PROVIDER"),
        (f"CODER_AIBRIDGE_PROVIDER_{'9' * 5000}_TYPE", ": a provider's variables are"),
        ("CODER_AIBRIDGE_PROVIDER_0_", ": a provider's variables are CODER_AIBRIDGE_PROVIDER"),
    ],
)
def test_names_that_number_nothing(variable: str, expected: str) -> None:
    [problem] = problems({variable: "openai"})
    assert problem.startswith(variable + expected)


def test_a_gap_is_named() -> None:
    environ = {f"{VARIABLE_PREFIXES[0]}{number}_TYPE": "google" for number in (0, 3)}
    environ[f"{VARIABLE_PREFIXES[1]}1_TYPE"] = "vercel"
    environ[f"{VARIABLE_PREFIXES[0]}3_NAME"] = "three"
    assert problems(environ) == [
        (
            "CODER_AIBRIDGE_PROVIDER_3: there is no CODER_AIBRIDGE_PROVIDER_2: providers are numbered "
            "from 0 without a gap"
        )
    ]
    environ[f"{VARIABLE_PREFIXES[0]}2_TYPE"] = " "  # empty: unset
    assert len(problems(environ)) == 1


def test_empty_variables_are_unset() -> None:
    environ = {f"{ONE}_{option.suffixes[0]}": "" for option in PROVIDER_OPTIONS}
    assert len(resolve({}, environ).providers) == 2


FILE_ERRORS = [
    ("[[providers]]\nname = 'x'", ":1: providers[0]: has no type: set type to one of openai,"),
    (
        (
            "[aibridge]\nenabled = true\n[[providers]]\ntype = 'google'\n\n[[providers]]\n"
            "type = 'google'\nname = 'Bad'"
        ),
        ':8: providers[1].name: invalid provider name "Bad": must contain only lowercase',
    ),
    (
        "[[providers]]\ntype = 'google'\nbase_uri = 'x'",
        ":3: providers[0].base_uri: unknown key (did you mean base_url?)",
    ),
    (
        "[[providers]]\ntype = 'google'\n[providers.headers]\nHost = 'x'",
        ":3: providers[0].headers: 'Host' is reserved",
    ),
    (
        "[[providers]]\ntype = 'google'\nheaders = { X-A = 5 }",
        ":3: providers[0].headers: the value of 'X-A' is not text",
    ),
    ("[[providers]]\ntype = 'google'\nheaders = 5", ":3: providers[0].headers: 5 is not a table"),
    (
        "[[providers]]\ntype = 'google'\nkey = 5",
        ":3: providers[0].key: the key is not text: put it in quotes",
    ),
    (
        "[[providers]]\ntype = 'google'\nkeys = [5]",
        ":3: providers[0].keys: the keys are not a list of texts: put each in quotes",
    ),
    ("[[providers]]\ntype = 5", ":2: providers[0].type: 5 is not text: put it in quotes"),
    ("[[provider]]\ntype = 'google'", ":1: provider: unknown key (did you mean providers?)"),
    ("[providers]\ntype = 'google'", ":1: providers: must be a list of tables"),
    ("providers = ['google']", ":1: providers[0]: must be a table of keys"),
    (
        "[[providers]]\ntype = 'bedrock'\nbedrock_region = 'us-east-1'\nbedrock_model = ''",
        ":4: providers[0].bedrock_model: region without model",
    ),
    (
        "[[providers]]\ntype = 'google'\nallow_models = ['']",
        ":3: providers[0].allow_models: a pattern is empty",
    ),
    (
        "[aibridge]\nopenai_key = 'k'\n[[providers]]\ntype = 'openai'",
        ':3: providers[0]: duplicate provider name: "openai", which ',
    ),
    (
        "[[providers]]\ntype = 'google'\ntype = 'vercel'",
        ":3: providers[0].type is given twice, first in line 2",
    ),
]


@pytest.mark.parametrize(("text", "expected"), FILE_ERRORS, ids=[e for _, e in FILE_ERRORS])
def test_errors_in_toml_have_their_line(text: str, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, text + "\n")
    found = problems({}, path)
    assert len(found) == 1 or all("providers" in problem for problem in found)
    assert found[0].startswith(f"{path}{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("providers:\n- name: x", ":2: providers[0]: has no type"),
        ("providers:\n- type: google\n- type: google\n  name: B", ":4: providers[1].name: invalid"),
        (
            "providers:\n- type: google\n  type: vercel",
            ":3: providers[0].type is given twice, first in line 2",
        ),
        (
            "providers:\n- type: google\n  headers:\n    X-A: b\n    X-A: c",
            ":5: providers[0].headers.X-A is given twice, first in line 4",
        ),
        (
            "providers:\n- type: google\n  base_uri: x",
            ":3: providers[0].base_uri: unknown key (did you mean base_url?)",
        ),
        ("providers:\n- type: google\n  name: no", ":3: providers[0].name: false is not text"),
        ("providers: 5", ":1: providers: must be a list of tables"),
        ("providers:\n  type: google", ":1: providers: must be a list of tables"),
        ("providers:\n- google", ":2: providers[0]: must be a table of keys"),
        ("providers:\n- &x\n  headers: {a: *x}\n  type: google", ":3: is not valid YAML: found"),
    ],
)
def test_errors_in_yaml_have_their_line(text: str, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, text, "c.yaml")
    assert problems({}, path)[0].startswith(f"{path}{expected}")


def test_a_list_without_entries_is_none(tmp_path: Path) -> None:
    for name, text in (("c.yaml", "providers:\n"), ("d.yaml", "providers: []"), ("c.toml", "")):
        assert len(resolve({}, {}, config_path=write(tmp_path, text, name)).providers) == 2


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "[aibridge]\nretention = 'x'\n[[providers]]\ntype = 'azure'\nname = 'A'\ncolour = 1\n"
        "[[providers]]\ntype = 'bedrock'\nbedrock_access_key = 'k'\n",
    )
    environ = numbered({"TYPE": "nope"}, {"TYPE": "copilot", "KEY": "k"})
    environ |= {"CODER_AIBRIDGE_PROVIDER_3_NAME": "x", "CODER_TLS_KEY_FILE": "/k"}
    found = "\n".join(problems(environ, path))
    for part in (
        "providers[0].colour: unknown key",
        ":2: aibridge.retention",
        "CODER_TLS_KEY_FILE",
        "there is no CODER_AIBRIDGE_PROVIDER_2",
        "unknown provider type 'nope'",
        "PROVIDER_1_KEY: providers of type copilot",
        "PROVIDER_3: has no type",
        'invalid provider name "A"',
        "type azure needs a base URL",
        "half of a pair",
        "no AWS region",
    ):
        assert part in found


def test_the_former_dump_dir_is_warned_of(tmp_path: Path) -> None:
    [warning] = resolve({}, numbered({**OPENAI, "DUMP_DIR": "/x"})).warnings
    assert warning == f"{ONE}_DUMP_DIR: not used: --aibridge-dump-dir replaced it"
    path = write(tmp_path, "[[providers]]\ntype = 'google'\ndump_dir = 'x'\n")
    assert "--aibridge-dump-dir" in resolve({}, {}, config_path=path).warnings[0]


def test_a_key_given_twice_is_used_once() -> None:
    settings = resolve({}, numbered({**OPENAI, "KEYS": f"{CANARY},other,{CANARY}"}))
    assert [key.reveal() for key in by_name(settings)["openai"].keys] == [CANARY, "other"]
    [warning] = settings.warnings
    assert warning.startswith(f"{ONE}_KEYS: a key is given twice")
    assert CANARY not in warning


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_keys_in_an_open_file_are_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, f"[[providers]]\ntype = 'google'\nkeys = ['{CANARY}', 'env:K']\n")
    assert resolve({}, {"K": "k"}, config_path=path).warnings == ()
    path.chmod(0o644)
    [warning] = resolve({}, {"K": "k"}, config_path=path).warnings
    assert warning.startswith(f"{path}:3: providers[0].keys: other users can read this key")
    assert CANARY not in warning


def test_commands_are_not_run_unless_wanted(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    command = f"cmd:\"{sys.executable}\" -c \"open(r'{mark}', 'w')\""
    environ = numbered({**OPENAI, "KEY": command})
    [key] = by_name(resolve({}, environ, run_commands=False))["openai"].keys
    assert not key
    assert key.reference.startswith("cmd:")
    assert not mark.exists()


def test_relative_files_count_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(CANARY)
    path = write(tmp_path, "[[providers]]\ntype = 'google'\nkeys = ['file:key']\n")
    [key] = by_name(resolve({}, {}, config_path=path))["google"].keys
    assert key.reveal() == CANARY


def test_the_environment_without_settings() -> None:
    environ = {f"{ONE}_KEY": "x", "AIGW_DB": "x", "AWS_REGION": "r"}
    assert without_settings(environ) == {"AWS_REGION": "r"}
