from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from aigw.config_file import find_default, is_open_to_others, load
from aigw.errors import ConfigError
from tests.home import use_home

if TYPE_CHECKING:
    from pathlib import Path

TOML = """\
# a comment
[aibridge]
enabled = true
retention = "90d"

[networking.http]
http_address = ":4001"

[introspection]
logging.json_path = "x.log"
"""
YAML = """\
# a comment
aibridge:
  enabled: true
  retention: 90d

networking:
  http:
    http_address: ":4001"

introspection:
  logging: {json_path: x.log}
"""


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML)])
def test_toml_and_yaml_say_the_same(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    file = load(path)
    assert file.problems == ()
    assert {key: entry.value for key, entry in file.entries.items()} == {
        "aibridge.enabled": True,
        "aibridge.retention": "90d",
        "networking.http.http_address": ":4001",
        "introspection.logging.json_path": "x.log",
    }
    assert file.place("aibridge.retention") == f"{path}:4: aibridge.retention"


def problems(path: Path, text: str | bytes) -> list[str]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        return list(load(path).problems)
    except ConfigError as error:
        return list(error.problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[aibridge]\nretentoin = 1",
            ":2: aibridge.retentoin: unknown key (did you mean aibridge.retention?)",
        ),
        ("openai_key = 'x'", ":1: openai_key: unknown key (did you mean aibridge.openai_key?)"),
        ("[server]\nhttp_address = 'x'", ":1: server: unknown key"),
        ("[aibridge.bedrock]\nregion = 'x'", ":1: aibridge.bedrock: unknown key"),
        ("aibridge = 5", ":1: aibridge: must be a table of keys"),
        (
            "[aibridge]\nenabled = true\nenabled = false",
            ":3: aibridge.enabled is given twice, first in line 2",
        ),
        ("[aibridge]\n[aibridge]", ":2: aibridge is given twice, first in line 1"),
        ("[aibridge\n", ":1: is not valid TOML: Expected ']'"),
    ],
)
def test_toml_problems_name_file_line_and_key(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    found = problems(path, text)
    assert len(found) == 1
    assert found[0].startswith(f"{path}{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "aibridge:\n  retentoin: 1",
            ":2: aibridge.retentoin: unknown key (did you mean aibridge.retention?)",
        ),
        (
            "aibridge:\n  enabled: true\n  enabled: false",
            ":3: aibridge.enabled is given twice, first in line 2",
        ),
        (
            "aibridge:\n  enabled: true\naibridge:\n  retention: 1d",
            ":3: aibridge is given twice, first in line 1",
        ),
        ("x: &x\n  y: *x", ":1: x: unknown key"),
        ("aibridge: &x\n  aibridge: *x", ":2: aibridge.aibridge: unknown key"),
        ("aibridge: [1]", ":1: aibridge: must be a table of keys"),
        ("- a\n- b", ": is not a table of keys"),
        ("just text", ": is not a table of keys"),
        ("aibridge:\n\tenabled: true", ":2: is not valid YAML: found character '\\t'"),
        ("a: b: c", ":1: is not valid YAML: mapping values are not allowed here (column 5)"),
        ("a: *nowhere", ":1: is not valid YAML: found undefined alias 'nowhere'"),
        ("a: 1\n---\nb: 2", ":2: is not valid YAML: but found another document"),
        ("aibridge:\n  retention: !!python/object/apply:os.system [x]", ": is not valid YAML"),
        ("? [a, b]\n: c", ":1: ?: unknown key"),
        ("a\0b: 1", ": is not valid YAML"),
        ("nothing:", ":1: nothing: unknown key"),
    ],
)
def test_yaml_problems_name_file_line_and_key(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    found = problems(path, text)
    assert len(found) == 1
    assert found[0].startswith((f"{path}{expected}", f"{path}:2{expected}"))


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "aibridge:\n  # enabled: true\n", "aibridge:\n  retention:\n"]
)
def test_yaml_without_values_sets_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    assert problems(path, text) == []
    assert load(path).entries == {}


def test_unreadable_files_are_explained(tmp_path: Path) -> None:
    def problem(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path)
        return str(caught.value)

    (tmp_path / "binary.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    (tmp_path / "large.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "folder.toml").mkdir()
    assert "missing.toml: cannot be read: No such file" in problem(tmp_path / "missing.toml")
    assert "folder.toml: is a folder" in problem(tmp_path / "folder.toml")
    assert "binary.toml:2: is not text in UTF-8" in problem(tmp_path / "binary.toml")
    assert "large.toml: is larger" in problem(tmp_path / "large.toml")
    assert "c.json: a configuration file ends in .toml" in problem(tmp_path / "c.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "config.toml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="no regular file"):
        load(pipe)


def test_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    assert problems(path, b"\xef\xbb\xbf[aibridge]\nenabled = true\n") == []


def test_the_default_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = use_home(monkeypatch, tmp_path)
    assert find_default() is None
    (folder / "config.yml").touch()
    assert find_default() == folder / "config.yml"
    (folder / "config.toml").touch()
    with pytest.raises(
        ConfigError, match=r"two configuration files: .*config.toml and .*config.yml"
    ):
        find_default()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.touch(0o600)
    assert not is_open_to_others(path)
    path.chmod(0o640)
    assert is_open_to_others(path)
    assert not is_open_to_others(tmp_path / "missing")
