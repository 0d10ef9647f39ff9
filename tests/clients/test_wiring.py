"""The lines of the banner, checked by the programs that read them."""

from __future__ import annotations

import shutil
import subprocess
import tomllib

import pytest

from aigw.clients.wiring import export_lines

ADDRESS = "http://127.0.0.1:4001"
BASE = f"{ADDRESS}/api/v2/aibridge"


def codex_block(lines: list[str]) -> str:
    start = next(number for number, line in enumerate(lines) if "config.toml" in line)
    return "\n".join(lines[start:])


def shell_lines(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("export ", "$env:"))]


def test_variables_point_at_the_gateway() -> None:
    assert shell_lines(export_lines(ADDRESS, powershell=False)) == [
        f"export ANTHROPIC_BASE_URL={BASE}/anthropic",
        f"export OPENAI_BASE_URL={BASE}/openai/v1",
    ]


def test_a_trailing_slash_of_the_address_does_no_harm() -> None:
    assert export_lines(ADDRESS + "/") == export_lines(ADDRESS)


def test_the_codex_block_is_toml() -> None:
    config = tomllib.loads(codex_block(export_lines(ADDRESS)))
    provider = config["model_providers"][config["model_provider"]]
    assert provider["base_url"] == f"{BASE}/openai/v1"
    assert provider["wire_api"] == "responses"
    assert provider["supports_websockets"] is False


@pytest.mark.parametrize(
    ("central", "names"),
    [
        (frozenset(), []),
        (frozenset({"openai"}), ["OPENAI_API_KEY"]),
        (frozenset({"openai", "anthropic"}), ["ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"]),
        (frozenset({"another"}), []),
    ],
)
def test_clients_of_a_central_key_get_a_placeholder(
    central: frozenset[str], names: list[str]
) -> None:
    lines = shell_lines(export_lines(ADDRESS, central, powershell=False))
    assert [line for line in lines if "_BASE_URL" not in line] == [
        f"export {name}=aigw" for name in names
    ]


def test_powershell_has_its_own_form() -> None:
    lines = shell_lines(export_lines(ADDRESS, powershell=True))
    assert lines[0] == f'$env:ANTHROPIC_BASE_URL = "{BASE}/anthropic"'


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
def test_a_shell_takes_the_lines() -> None:
    lines = shell_lines(export_lines(ADDRESS, frozenset({"openai"}), powershell=False))
    script = "\n".join([*lines, 'printf "%s %s" "$OPENAI_BASE_URL" "$OPENAI_API_KEY"'])
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{BASE}/openai/v1 aigw"


def test_clients_of_a_gateway_with_keys_get_theirs_set() -> None:
    lines = export_lines(ADDRESS, frozenset({"openai"}), gateway_keys=True, powershell=False)
    assert "aigw keys create" in lines[0]
    assert shell_lines(lines)[:2] == [
        "export ANTHROPIC_AUTH_TOKEN=aigw_...",
        "export OPENAI_API_KEY=aigw_...",
    ]
    assert not any("any value will do" in line for line in lines)
