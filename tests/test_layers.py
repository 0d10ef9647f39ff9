"""The shape of the code: who may import whom, how long a module may be, what a start imports."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from aigw.store.database import open_for_writing

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "aigw"
MODULES = sorted(PACKAGE.rglob("*.py"))

LONGEST = 450
"""Lines of a module: one job fits in less."""

# From the top down; a module imports from its own layer or a lower one. The first entry that is
# a module's name or begins it decides.
LAYERS: list[list[str]] = [
    ["aigw.__main__", "aigw.cli"],
    ["aigw.daemon", "aigw.assembly"],
    ["aigw.reload", "aigw.signals"],
    ["aigw.gateway", "aigw.api", "aigw.export"],
    ["aigw.recorder", "aigw.providers", "aigw.clients"],
    ["aigw.pricing"],
    ["aigw.store", "aigw.telemetry", "aigw.wire"],
    ["aigw.records"],
    ["aigw.settings", "aigw.provider_config", "aigw.price_config", "aigw.options_doc"],
    ["aigw.provider_rules", "aigw.provider_bedrock", "aigw.provider_drafts"],
    ["aigw.given"],
    [
        "aigw.config_file",
        "aigw.config_toml",
        "aigw.config_yaml",
        "aigw.config_document",
        "aigw.options",
    ],
    ["aigw.gateway_options", "aigw.server_options", "aigw.provider_options"],
    ["aigw.provider_settings", "aigw.provider_types", "aigw.price_settings"],
    ["aigw.option", "aigw.secrets"],
    ["aigw.option_values", "aigw.durations", "aigw.patterns", "aigw.actor_names"],
    ["aigw.errors", "aigw.clock", "aigw.tasks", "aigw"],
]

# Apart from I/O and time: bytes in, facts out.
SANS_IO = {"asyncio", "socket", "ssl", "time", "datetime", "threading", "aiohttp", "sqlite3", "os"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int:
    for level, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names if name != "aigw"):
            return level
    if module == "aigw":
        return len(LAYERS) - 1
    raise AssertionError(f"{module} belongs to no layer: add it to the table")


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it; those for type checking only too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.update(_names(node.module, [alias.name for alias in node.names]))
    return found


def _names(module: str, names: list[str]) -> set[str]:
    """`from aigw.wire import messages` imports a module, `from aigw.records import Status` a name."""
    found = set()
    for name in names:
        path = ROOT.joinpath(*module.split("."), name)
        is_module = path.with_suffix(".py").exists() or (path / "__init__.py").exists()
        found.add(f"{module}.{name}" if is_module else module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    module = name_of(path)
    own = layer_of(module)
    for imported in imports_of(path):
        if imported.split(".")[0] == "aigw":
            assert layer_of(imported) >= own, f"{module} imports {imported}"


def test_parts_of_one_layer_keep_to_themselves() -> None:
    """Beside each other in a layer, but none needs another."""
    apart = [
        {"aigw.store", "aigw.telemetry", "aigw.wire"},
        {"aigw.providers", "aigw.clients"},
    ]
    for path in MODULES:
        module = name_of(path)
        for group in apart:
            home = next((part for part in group if module.startswith(part)), None)
            if home is not None:
                others = group - {home}
                for imported in imports_of(path):
                    assert not imported.startswith(tuple(others)), f"{module}: {imported}"


def test_no_circles() -> None:
    graph = {
        name_of(path): {i for i in imports_of(path) if i.startswith("aigw.")} for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module not in done:
            for imported in graph.get(module, set()):
                if imported != module:
                    visit(imported, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", sorted((PACKAGE / "wire").glob("*.py")), ids=name_of)
def test_wire_has_no_io_and_no_clock(path: Path) -> None:
    roots = {imported.split(".")[0] for imported in imports_of(path)}
    assert not roots & SANS_IO


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_say_what_they_are(path: Path) -> None:
    assert path.name == "__main__.py" or ast.get_docstring(ast.parse(path.read_text("utf-8")))


def loaded_by(*arguments: str) -> set[str]:
    """Which modules a command line imports."""
    code = (
        "import json, sys; from aigw.cli.main import main;"
        f"code = main({list(arguments)!r}); print(file=sys.stderr);"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["serve", "--help"], ["logs", "--help"]], ids=" ".join
)
def test_help_imports_little(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments)
    assert "aigw.cli.main" in loaded
    heavy = {"aiohttp", "asyncio", "prometheus_client", "cryptography", "aigw.daemon"}
    assert not loaded & heavy


@pytest.mark.parametrize(
    "arguments",
    [
        ["sessions", "-n", "5"],
        ["usage", "--by", "model", "--since", "30d"],
        ["logs", "-n", "5", "-q", "word"],
        ["interceptions", "list", "--limit", "5"],
        ["sql", "SELECT 1", "--limit", "5"],
    ],
    ids=" ".join,
)
def test_reading_imports_little(arguments: list[str], tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    open_for_writing(database, "normal").close()
    loaded = loaded_by(*arguments, "--db", str(database))
    assert "typer" in loaded
    # Either takes longer to import than the command takes to answer.
    assert not loaded & {"pydantic", "aigw.settings"}
