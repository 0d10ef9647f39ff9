from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aigw.errors import ConfigError
from aigw.option_values import Address
from aigw.options import BY_NAME, OPTIONS
from aigw.settings import Origin, Settings, database_path, resolve, resolve_one, shown_value
from tests.home import use_home

CANARY = "sk-canary-0123456789abcdef"

# Three values of each kind, as text; all differ from each other and from every default.
SAMPLES = {
    "bool": ("true", "true", "true"),
    "string": ("one", "two", "three"),
    "int": ("11", "12", "13"),
    "duration": ("11h", "12h", "13h"),
    "size": ("11KiB", "12KiB", "13KiB"),
    "address": ("127.0.0.1:11", "127.0.0.1:12", "127.0.0.1:13"),
    "url": ("https://one/", "https://two/", "https://three/"),
    "path": ("/one.db", "/two.db", "/three.db"),
    "output": ("/one.log", "/two.log", "/three.log"),
    "regex": ("one", "two", "three"),
    "header": ("X-One", "X-Two", "X-Three"),
    "percents": ("11", "12,22", "none"),
    "command": ("one", "two 'b c'", "three"),
}
CHOSEN = {
    "store_synchronous": ("full", "normal", "full"),
    "budget_policy": ("highest", "highest", "highest"),
    "budget_period": ("day", "week", "month"),
    "budget_refusal": ("forbidden", "billing-error", "usage-limit"),
    "budget_unpriced": ("allow", "refuse", "allow"),
    "budget_webhook": ("https://one", "https://two/b?c=d", "http://127.0.0.1:3"),
}
# What an option is given together with, where it cannot stand alone.
WITH = {
    "tls_cert_file": {"tls_key_file": "/key.pem"},
    "tls_key_file": {"tls_cert_file": "/cert.pem"},
    "bedrock_access_key": {"bedrock_access_key_secret": "s", "bedrock_region": "r"},
    "bedrock_access_key_secret": {"bedrock_access_key": "k", "bedrock_region": "r"},
}
IN_FILES = [option for option in OPTIONS if option.key]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return use_home(monkeypatch, tmp_path / "home")


def problems(
    flags: dict[str, object], environ: dict[str, str], path: Path | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(flags, environ, config_path=path)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def config(tmp_path: Path, text: str, name: str = "c.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_defaults() -> None:
    settings = resolve({}, {})
    assert settings.enabled is False
    assert settings.openai_base_url == "https://api.openai.com/v1/"
    assert settings.anthropic_base_url == "https://api.anthropic.com/"
    assert not settings.openai_key
    assert not settings.anthropic_key
    assert settings.retention == timedelta(days=60)
    assert settings.http_address == Address("127.0.0.1", 4001)
    assert settings.db.is_absolute()
    assert settings.db.name == "aigw.db"
    assert settings.config is None
    assert settings.upstream_idle_timeout == timedelta(minutes=10)
    assert settings.upstream_connect_timeout == timedelta(seconds=30)
    assert settings.max_body_size == 64 * 1024**2
    assert settings.shutdown_timeout == timedelta(seconds=30)
    assert settings.store_fail_open is False
    assert settings.store_synchronous == "normal"
    assert (settings.log_human, settings.log_json, settings.log_filter) == ("/dev/stderr", "", "")
    assert settings.prometheus_enable is False
    assert settings.prometheus_address == Address("127.0.0.1", 2112)
    assert settings.warnings == ()
    assert {origin.source for origin in settings.origins.values()} == {"default"}


def samples(name: str) -> tuple[str, str, str]:
    option = BY_NAME[name]
    return CHOSEN.get(name) or SAMPLES[option.kind]


def toml(key: str, value: str) -> str:
    table, _, last = key.rpartition(".")
    return f'[{table}]\n{last} = "{value}"\n'


@pytest.mark.parametrize("name", [option.name for option in IN_FILES])
def test_flag_beats_variable_beats_file_beats_default(name: str, tmp_path: Path) -> None:
    option = BY_NAME[name]
    in_flag, in_variable, in_file = samples(name)
    path = config(tmp_path, toml(option.key, in_file))

    def source_and_text(
        flags: dict[str, object], environ: dict[str, str], file: Path | None
    ) -> Any:
        settings = resolve({**WITH.get(name, {}), **flags}, environ, config_path=file)
        value = getattr(settings, name)
        text = value.reveal() if option.secret else value
        return settings.origins[name], text

    def expected(text: str) -> object:
        return option.read(text)

    flags: dict[str, object] = {option.flag: in_flag}
    environ = {option.variable: in_variable}
    assert source_and_text(flags, environ, path) == (Origin("flag", option.flag), expected(in_flag))
    assert source_and_text({}, environ, path) == (
        Origin("variable", option.variable),
        expected(in_variable),
    )
    assert source_and_text({}, {}, path) == (
        Origin("file", f"{path}:{option.key}"),
        expected(in_file),
    )
    if name not in WITH:
        assert source_and_text({}, {}, None)[0] == Origin("default")


@pytest.mark.parametrize("name", [option.name for option in IN_FILES])
def test_every_other_name_works_as_well(name: str, tmp_path: Path) -> None:
    option = BY_NAME[name]
    text = samples(name)[0]
    others = WITH.get(name, {})
    for flag in option.flags:
        assert resolve({**others, flag: text}, {}).origins[name] == Origin("flag", flag)
    for variable in option.variables:
        assert resolve(others, {variable: text}).origins[name] == Origin("variable", variable)
    for key in option.keys:
        path = config(tmp_path, toml(key, text))
        assert resolve(others, {}, config_path=path).origins[name].detail == f"{path}:{key}"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/canary",
        "ftp://127.0.0.1/canary",
        "https://",
        "canary",
        "http://127.0.0.1.evil.example/canary",
        "http://localhost@evil.example/canary",
        "http://[canary",
    ],
)
def test_a_webhook_is_encrypted_or_on_this_machine(url: str) -> None:
    (problem,) = problems({}, {"AIGW_BUDGET_WEBHOOK": url})
    assert problem == (
        "AIGW_BUDGET_WEBHOOK: a webhook is an https:// URL, or an http:// one of this machine "
        "(127.0.0.1, localhost)"
    )


@pytest.mark.parametrize("text", ["0", "1000", "85,x", "85.5", "-1", "1,2,3,4,5,6,7,8,9,10,11"])
def test_thresholds_are_percentages(text: str) -> None:
    (problem,) = problems({}, {"AIGW_BUDGET_THRESHOLDS": text})
    assert problem.startswith("AIGW_BUDGET_THRESHOLDS: ")
    assert "percentages" in problem


def test_thresholds_come_in_order_and_once() -> None:
    settings = resolve({}, {"AIGW_BUDGET_THRESHOLDS": " 100, 50 ,100"})
    assert settings.budget_thresholds == (50, 100)
    assert resolve({"budget_thresholds": "none"}, {}).budget_thresholds == ()


def test_a_command_needs_its_quotes() -> None:
    (problem,) = problems({}, {"AIGW_BUDGET_COMMAND": "notify 'it"})
    assert "cannot be split into words" in problem


def test_tls_needs_certificate_and_key(tmp_path: Path) -> None:
    assert problems({}, {"CODER_TLS_CERT_FILE": "/c.pem"}) == [
        "CODER_TLS_CERT_FILE: --tls-cert-file is given without --tls-key-file: TLS needs both"
    ]
    path = config(tmp_path, "[networking.tls]\nkey_file = 'k.pem'\n")
    assert problems({}, {}, path) == [
        (
            f"{path}:2: networking.tls.key_file: --tls-key-file is given without --tls-cert-file: "
            "TLS needs both"
        )
    ]
    assert resolve({"--tls-cert-file": ""}, {}).tls_cert_file is None


def test_actor_headers_differ() -> None:
    same = {"--aibridge-actor-header-id": "X-Who", "--aibridge-actor-header-email": "x-who"}
    [problem] = problems(dict(same), {})
    assert problem.startswith("--aibridge-actor-header-email: --aibridge-actor-header-id and ")
    [problem] = problems({}, {"CODER_AIBRIDGE_ACTOR_HEADER_USERNAME": "x-ai-bridge-actor-id"})
    assert "the same header" in problem
    none = dict.fromkeys(("actor_header_id", "actor_header_username", "actor_header_email"), "")
    assert resolve(none, {}).actor_header_id == ""


def test_an_empty_text_switches_a_path_or_url_off(tmp_path: Path) -> None:
    path = config(tmp_path, "[aibridge]\ndump_dir = 'dumps'\nbedrock_base_url = ''\n")
    assert resolve({}, {}, config_path=path).dump_dir == tmp_path / "dumps"
    settings = resolve({"--aibridge-dump-dir": ""}, {}, config_path=path)
    assert settings.dump_dir is None
    assert settings.bedrock_base_url is None
    assert "is not a path" in problems({"--db": ""}, {})[0]


def test_a_table_where_a_value_belongs(tmp_path: Path) -> None:
    path = config(tmp_path, "[aibridge]\nenabled.really = 1\n")
    assert problems({}, {}, path) == [
        f"{path}: aibridge.enabled: a table is not a switch: use true or false"
    ]


def test_old_and_new_name_must_agree(tmp_path: Path) -> None:
    same = {"CODER_AIBRIDGE_RETENTION": "7d", "CODER_AI_GATEWAY_RETENTION": "1w"}
    assert resolve({}, same).retention == timedelta(days=7)
    assert problems({}, {**same, "CODER_AI_GATEWAY_RETENTION": "8d"}) == [
        "CODER_AIBRIDGE_RETENTION and CODER_AI_GATEWAY_RETENTION say different things: set only one"
    ]
    assert (
        "set only one"
        in problems({"--aibridge-retention": "1d", "--ai-gateway-retention": "2d"}, {})[0]
    )
    path = config(tmp_path, "[aibridge]\nretention = '1d'\n[ai_gateway]\nretention = '2d'\n")
    assert problems({}, {}, path) == [
        (
            f"{path}:2: aibridge.retention and {path}:4: ai_gateway.retention "
            "say different things: set only one"
        )
    ]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = config(tmp_path, "[aibridge]\nretention = 60\nretentoin = 1\n")
    found = problems(
        {"--http-address": "nowhere"},
        {"CODER_AIBRIDGE_ENABLED": "perhaps", "AIGW_DB": "ok.db"},
        path,
    )
    assert [problem.partition(" ")[0] for problem in found] == [
        f"{path}:3:",
        "CODER_AIBRIDGE_ENABLED:",
        f"{path}:2:",
        "--http-address:",
    ]
    assert "use true or false" in found[1]
    assert "has no unit after 60" in found[2]


def test_a_hidden_wrong_value_is_still_told(tmp_path: Path) -> None:
    path = config(tmp_path, "[aibridge]\nretention = '-5d'\n")
    assert problems({"--aibridge-retention": "5d"}, {}, path) == [
        f"{path}:2: aibridge.retention: '-5d' is negative"
    ]


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("AIGW_STORE_SYNCHRONOUS", "off", "is not one of normal, full"),
        ("AIGW_MAX_BODY_SIZE", "0", "must be more than 0"),
        ("AIGW_UPSTREAM_CONNECT_TIMEOUT", "0s", "must be more than 0"),
        ("CODER_LOG_FILTER", "(", "is not a regular expression"),
        ("CODER_AIBRIDGE_OPENAI_BASE_URL", "api.openai.com", "use http:// or https://"),
        ("CODER_PROMETHEUS_ADDRESS", "2112", "use HOST:PORT"),
    ],
)
def test_bad_values_say_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    [problem] = problems({}, {variable: value})
    assert problem.startswith(f"{variable}: ")
    assert allowed in problem


def test_empty_variables() -> None:
    empty = {variable: "" for option in OPTIONS for variable in option.variables}
    settings = resolve({}, empty)
    assert settings.log_human == ""
    may_be_empty = ("log_", "actor_header_")
    others = {n: o for n, o in settings.origins.items() if not n.startswith(may_be_empty)}
    assert {origin.source for origin in others.values()} == {"default"}


def test_zero_retention_keeps_for_ever() -> None:
    for text in ("0", "0s", "0d"):
        assert resolve({"retention": text}, {}).retention == timedelta(0)


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    path = config(
        tmp_path, "[aigw]\ndb = 'a.db'\n[introspection.logging]\njson_path = '../a.log'\n"
    )
    settings = resolve({}, {}, config_path=path)
    assert settings.db == tmp_path / "a.db"
    assert settings.log_json == str(tmp_path.parent / "a.log")
    assert resolve({"db": "b.db"}, {}).db == work / "b.db"
    assert resolve({"db": Path("b.db")}, {}).db == work / "b.db"


def test_the_configuration_file_is_found(folder: Path, tmp_path: Path) -> None:
    default = config(folder, "[aibridge]\nretention = '1d'\n", "config.toml")
    named = config(tmp_path, "aibridge: {retention: 2d}", "named.yaml")
    settings = resolve({}, {})
    assert (settings.config, settings.retention) == (default, timedelta(days=1))
    assert settings.origins["config"] == Origin("default", str(default))
    settings = resolve({}, {"CODER_CONFIG_PATH": str(named)})
    assert (settings.config, settings.retention) == (named, timedelta(days=2))
    assert settings.origins["config"] == Origin("variable", "CODER_CONFIG_PATH")
    settings = resolve({"-c": str(named)}, {"CODER_CONFIG_PATH": "missing.toml"})
    assert settings.origins["config"] == Origin("flag", "-c")
    assert problems({"config": "missing.toml"}, {}) == [
        f"{Path.cwd() / 'missing.toml'}: cannot be read: No such file or directory"
    ]


def test_secrets_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(CANARY)
    path = config(tmp_path, "[aibridge]\nopenai_key = 'file:key'\nanthropic_key = 'env:KEY'\n")
    settings = resolve({}, {"KEY": "sk-other-0123456789"}, config_path=path)
    assert settings.openai_key.reveal() == CANARY
    assert settings.anthropic_key.reveal() == "sk-other-0123456789"
    assert settings.warnings == ()
    assert CANARY not in repr(settings)
    assert shown_value(settings, BY_NAME["openai_key"]) == "sk-c...cdef (file:key)"


def test_a_reference_that_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    path = config(tmp_path, "[aibridge]\nopenai_key = 'env:NOPE'\nanthropic_key = 5\n")
    assert problems({}, {}, path) == [
        f"{path}:2: aibridge.openai_key: the environment variable NOPE is not set",
        f"{path}:3: aibridge.anthropic_key: the key is not text: put it in quotes",
    ]


def test_a_hidden_reference_is_not_followed(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    command = f"cmd:\"{sys.executable}\" -c \"open(r'{mark}', 'w')\""
    settings = resolve(
        {},
        {"CODER_AIBRIDGE_OPENAI_KEY": CANARY},
        config_path=config(tmp_path, f"[aibridge]\nopenai_key = '''{command}'''\n"),
    )
    assert settings.openai_key.reveal() == CANARY
    assert not mark.exists()
    shown = resolve({}, {"CODER_AIBRIDGE_OPENAI_KEY": command}, run_commands=False)
    assert not shown.openai_key
    assert shown_value(shown, BY_NAME["openai_key"]).startswith("not read (cmd:")
    assert not mark.exists()


def test_a_key_on_the_command_line_is_warned_of() -> None:
    [warning] = resolve({"--aibridge-openai-key": CANARY}, {}).warnings
    assert warning.startswith("--aibridge-openai-key: other users can see this key in `ps`")
    assert CANARY not in warning
    assert resolve({"--aibridge-openai-key": "env:K"}, {"K": CANARY}).warnings == ()
    assert resolve({}, {"CODER_AIBRIDGE_OPENAI_KEY": CANARY}).warnings == ()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_key_in_an_open_file_is_warned_of(tmp_path: Path) -> None:
    path = config(tmp_path, f"[aibridge]\nopenai_key = '{CANARY}'\n")
    assert resolve({}, {}, config_path=path).warnings == ()
    path.chmod(0o644)
    [warning] = resolve({}, {}, config_path=path).warnings
    assert warning.startswith(f"{path}:2: aibridge.openai_key: other users can read")
    assert "chmod 600" in warning
    assert CANARY not in warning
    path.write_text("[aibridge]\nopenai_key = 'env:K'\n")
    assert resolve({}, {"K": CANARY}, config_path=path).warnings == ()


def test_unknown_variables_are_warned_of() -> None:
    settings = resolve(
        {},
        {
            "CODER_AIBRIDGE_RETENTOIN": "1d",
            "CODER_AI_GATEWAY_SOMETHING_OF_A_LATER_TIME": "x",
            "AIGW_DBS": "x",
            "AIGW_SOMETHING_ELSE_ENTIRELY": "x",
            "CODER_URL": "x",
        },
    )
    assert settings.warnings == (
        "AIGW_DBS: no such setting, ignored (did you mean AIGW_DB?)",
        (
            "CODER_AIBRIDGE_RETENTOIN: no such setting, ignored "
            "(did you mean CODER_AIBRIDGE_RETENTION?)"
        ),
        "CODER_AI_GATEWAY_SOMETHING_OF_A_LATER_TIME: no such setting, ignored",
    )


def test_other_programs_variables_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are dozens, and to find what is nearest to one takes milliseconds at each start."""
    compared: list[str] = []
    monkeypatch.setattr("aigw.settings.nearest", lambda name, _: compared.append(name) or "")
    resolve({}, {"PATH": "x", "AIGWEN": "x", "CODER_URL": "x", "AIGW_X": "x"})
    assert compared == ["AIGW_X"]


def test_an_unknown_flag_is_a_bug_of_the_caller() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        resolve({"nonsense": "x"}, {})


def test_one_option_alone(folder: Path, tmp_path: Path) -> None:
    path = config(
        folder, "[aigw]\ndb = 'c.db'\n[aibridge]\nopenai_key = 'env:NOPE'\nx = 1\n", "config.toml"
    )
    assert database_path(None, {}) == folder / "c.db"
    assert database_path(None, {"AIGW_DB": str(tmp_path / "v.db")}) == tmp_path / "v.db"
    assert database_path(tmp_path / "f.db", {"AIGW_DB": "v.db"}) == tmp_path / "f.db"
    assert resolve_one("retention", None, {}) == timedelta(days=60)
    path.write_text("[aigw\n")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        database_path(None, {})
    assert database_path("/f.db", {}) == Path("/f.db").absolute()


def test_settings_are_frozen() -> None:
    settings = resolve({}, {})
    assert isinstance(settings, Settings)
    with pytest.raises(AttributeError):
        settings.enabled = True  # type: ignore[misc]
