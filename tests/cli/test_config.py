from __future__ import annotations

import json
import os
import stat
import tomllib
from typing import TYPE_CHECKING

import pytest

from aigw.cli.main import main
from aigw.cli.provider_text import shown_settings
from aigw.options import OPTIONS
from aigw.provider_options import PROVIDER_OPTIONS
from aigw.settings import resolve
from tests.home import use_home

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "sk-canary-0123456789abcdef"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return use_home(monkeypatch, tmp_path / "home")


def test_show(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_AIBRIDGE_OPENAI_KEY", CANARY)
    assert main(["config", "show", "--aibridge-retention=90d"]) == 0
    captured = capsys.readouterr()
    rows = dict(line.partition("  ")[::2] for line in captured.out.splitlines())
    assert rows["aibridge.retention"].strip() == "90d"
    assert rows["aibridge.openai_key"].strip() == "sk-c...cdef"
    assert rows["aigw.max_body_size"].strip() == "64MiB"
    assert {name.partition(".")[0] for name in rows} >= {"providers", "aibridge"}
    assert len([name for name in rows if not name.startswith("providers.")]) == len(OPTIONS)
    assert CANARY not in captured.out + captured.err


def test_show_origin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / "config.toml").write_text("[aibridge]\nretention = '1d'\n")
    monkeypatch.setenv("AIGW_DB", "/x.db")
    assert main(["config", "show", "--origin", "--aibridge-enabled"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["aibridge.enabled"].endswith("  flag --aibridge-enabled")
    assert lines["aigw.db"].endswith("  variable AIGW_DB")
    assert lines["aibridge.retention"].endswith(f"file {folder / 'config.toml'}:aibridge.retention")
    assert lines["networking.http.http_address"].endswith("  default")


def test_show_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_AIBRIDGE_ENABLED", "yes")
    monkeypatch.setenv("CODER_AIBRIDGE_OPENAI_KEY", CANARY)
    assert main(["config", "show", "--json"]) == 0
    text = capsys.readouterr().out
    shown = json.loads(text)
    assert shown["aibridge.enabled"] is True
    assert shown["aibridge.retention"] == "60d"
    assert shown["aigw.max_body_size"] == 64 * 1024**2
    assert CANARY not in text
    assert main(["config", "show", "--json", "--origin"]) == 0
    assert json.loads(capsys.readouterr().out)["aibridge.enabled"] == {
        "value": True,
        "source": "variable",
        "detail": "CODER_AIBRIDGE_ENABLED",
    }


PROVIDERS = f"""\
[[providers]]
type = "openai"
name = "team-a"
keys = ["{CANARY}", "env:SECOND"]
headers = {{ X-Token = "{CANARY}" }}

[[providers]]
type = "bedrock"
bedrock_region = "us-east-1"
bedrock_access_key = "{CANARY}"
bedrock_access_key_secret = "{CANARY}"
bedrock_session_token = "{CANARY}"
"""


def test_show_of_providers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    path = folder / "config.toml"
    path.write_text(PROVIDERS)
    path.chmod(0o600)
    monkeypatch.setenv("SECOND", CANARY + "2")
    assert main(["config", "show", "--origin"]) == 0
    text = capsys.readouterr().out
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines()}
    assert rows["providers.openai.base_url"] == "https://api.openai.com/v1 default"
    keys = rows["providers.team-a.keys"]
    assert keys.startswith("sk-c...cdef,sk-c...def2 (env:SECOND) file ")
    assert keys.endswith(f"{path}:providers[0].keys")
    assert rows["providers.team-a.headers"].startswith("X-Token=sk-c...cdef ")
    assert rows["providers.bedrock.bedrock_access_keys"].startswith("sk-c...cdef file ")
    assert main(["config", "show", "--json"]) == 0
    text += (shown := capsys.readouterr().out)
    team, bedrock = json.loads(shown)["providers"][2:]
    assert team["keys"] == ["sk-c...cdef", "sk-c...def2 (env:SECOND)"]
    assert bedrock["bedrock_session_token"] == "sk-c...cdef"
    assert main(["config", "show", "--json", "--origin"]) == 0
    text += (shown := capsys.readouterr().out)
    assert json.loads(shown)["providers"][2]["keys"]["source"] == "file"
    assert json.loads(shown)["providers"][2]["enabled"] == {
        "value": True,
        "source": "default",
        "detail": "",
    }
    assert CANARY not in text


def test_every_setting_of_a_provider_can_be_shown() -> None:
    environ = {
        "CODER_AIBRIDGE_PROVIDER_0_TYPE": "bedrock",
        "CODER_AIBRIDGE_PROVIDER_0_BEDROCK_REGION": "us-east-1",
    }
    bedrock = resolve({}, environ).providers[-1]
    single = {"key", "bedrock_access_key", "bedrock_access_key_secret"}
    unshown = single | {"bedrock_access_key_secrets", "dump_dir"}
    assert set(shown_settings(bedrock)) == {o.name for o in PROVIDER_OPTIONS} - unshown


def test_show_of_a_wrong_configuration_lists_the_problems(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "config.toml").write_text("[aibridge]\nretentoin = 1\nenabled = 'x'\n")
    assert main(["config", "show"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 2


def test_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODER_AIBRIDGE_RETENTION", "nonsense")  # not the file's fault
    monkeypatch.setenv("CODER_AIBRIDGE_PROVIDER_5_TYPE", "nonsense")  # nor is this
    (tmp_path / "good.toml").write_text("[aibridge]\nopenai_key = 'cmd:no-such-program'\n")
    assert main(["config", "check", "good.toml"]) == 0
    assert capsys.readouterr().out == "good.toml: ok\n"
    (tmp_path / "bad.yaml").write_text("aibridge:\n  enabled: maybe\n  retentoin: 1\n")
    assert main(["config", "check", "bad.yaml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    path = tmp_path / "bad.yaml"
    assert captured.err.splitlines() == [
        f"Error: {path}:3: aibridge.retentoin: unknown key (did you mean aibridge.retention?)",
        f"Error: {path}:2: aibridge.enabled: 'maybe' is not a switch: use true or false",
    ]
    assert main(["config", "check", "missing.toml"]) == 2
    assert main(["config", "check"]) == 2


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_check_warns_of_a_readable_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[aibridge]\nopenai_key = '{CANARY}'\n")
    path.chmod(0o644)
    assert main(["config", "check", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith(f"Warning: {path}:2: aibridge.openai_key: other users can read")
    assert CANARY not in captured.err


def test_path(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["config", "path"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{folder / 'config.toml'}\n"
    assert "no such file yet" in captured.err
    (folder / "config.yml").touch()
    assert main(["config", "path"]) == 0
    assert capsys.readouterr() == (f"{folder / 'config.yml'}\n", "")
    (folder / "config.toml").touch()
    assert main(["config", "path"]) == 2
    assert main(["config", "path", "-c", str(folder / "config.toml")]) == 0


def test_init_writes_the_defaults(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    folder.rmdir()
    before = resolve({}, {})
    assert main(["config", "init"]) == 0
    path = folder / "config.toml"
    assert capsys.readouterr().out == f"{path}\n"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    after = resolve({}, {})
    for option in OPTIONS:
        if option.key:
            assert after.origins[option.name].source == "file"
            assert getattr(after, option.name) == getattr(before, option.name)
    assert after.providers == before.providers
    text = path.read_text()
    assert next(iter(tomllib.loads(text))) == "aibridge"
    assert main(["config", "check", str(path)]) == 0
    settings, mark, example = text.partition("#\n# [[providers]]\n")
    uncommented = example.replace("# ", "").replace("#\n", "\n")
    path.write_text(f"{settings}\n[[providers]]\n{uncommented}")
    assert mark
    environ = {"TEAM_A_KEY_1": "a", "TEAM_A_KEY_2": "b"}
    shown = resolve({}, environ)
    names = [provider.name for provider in shown.providers]
    assert names == ["openai", "anthropic", "team-a", "bedrock"]
    assert [price.cache_read for price in shown.prices] == [300_000]


def test_init_replaces_nothing_unasked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "new" / "c.toml"
    assert main(["config", "init", str(path)]) == 0
    path.write_text("mine")
    assert main(["config", "init", str(path)]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main(["config", "init", str(path), "--force"]) == 0
    assert "[aibridge]" in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["c.toml"]
    assert main(["config", "init", str(tmp_path / "c.yaml")]) == 2
    assert "ends in .toml" in capsys.readouterr().err
    (folder / "config.yaml").touch()
    assert main(["config", "init"]) == 2
    assert "is the configuration file in use" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["config", "init", str(tmp_path / "file" / "c.toml")]) == 1


def test_check_reads_the_certificate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_home(monkeypatch, tmp_path)
    (tmp_path / "key.pem").write_text("nonsense")
    path = tmp_path / "c.toml"
    path.write_text('[networking.tls]\ncert_file = "none.pem"\nkey_file = "key.pem"\n')
    assert main(["config", "check", str(path)]) == 2
    assert "none.pem" in capsys.readouterr().err
