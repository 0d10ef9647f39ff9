"""The documentation is true: links, commands, flags, metrics, tables and fields are those of the code."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aigw import records
from aigw.cli.tree import root
from aigw.records import RecordType
from aigw.store.schema import CHILD_TABLES, SCHEMA_VERSION, migrate
from aigw.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)
_SECTION = re.compile(r"^#{2,3} `?([\w ]+?)`?$\n(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
_SHELL = ("", "sh", "console")
_OTHERS_FLAGS = {"--name", "--name=true", "--name=false"}
"""What stands for any switch on the options page."""
_OTHER_PROGRAMS = {DOCS / "clients.md"}
"""Pages on which a flag may be another program's."""


def str_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_of(page: Path) -> Iterator[str]:
    """Inline code, and the lines of shell blocks, continued lines joined."""
    text = text_of(page)
    yield from _INLINE.findall(_FENCE.sub("", text))
    for language, block in _FENCE.findall(text):
        if language in _SHELL:
            for line in block.replace("\\\n", " ").splitlines():
                yield line.removeprefix("$ ").strip()


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of every `aigw ...` on the page, without `aigw` itself."""
    for code in code_of(page):
        for piece in re.split(r"\||;|&&|[()]", code):
            words = _words(piece)
            if words[:1] == ["aigw"] and not re.match(r"[\d.]+$", " ".join(words[1:2])):
                yield words[1:]


def _words(piece: str) -> list[str]:
    try:
        words = shlex.split(piece, comments=True)
    except ValueError:
        return []
    if words[:3] in (["python", "-m", "aigw"], ["python3", "-m", "aigw"]):
        return words[2:]
    return words


@cache
def command(*names: str) -> Any:
    """A command by its names; None when there is none."""
    found = root()
    for name in names:
        get = getattr(found, "get_command", None)
        found = None if get is None else get(None, name)
        if found is None:
            return None
    return found


@cache
def flags(*names: str) -> frozenset[str]:
    found = {flag for p in command(*names).params for flag in (*p.opts, *p.secondary_opts)}
    return frozenset(found | {"--help", "-h"} | (set() if names else {"--version"}))


def all_flags() -> set[str]:
    found = set(flags())
    for name in command().list_commands(None):
        found |= flags(name)
        group = command(name)
        for inner in group.list_commands(None) if hasattr(group, "list_commands") else ():
            found |= flags(name, inner)
    return found


@pytest.mark.parametrize("page", PAGES, ids=str_of)
def test_links_resolve(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", text_of(page))):
        if re.match(r"\w+:", link):
            continue
        target, _, fragment = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.is_file(), f"{str_of(page)}: {link}"
        if fragment:
            anchors = {_anchor(heading) for heading in _HEADING.findall(text_of(path))}
            assert fragment in anchors, f"{str_of(page)}: {link}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str_of)
def test_commands_and_their_flags_exist(page: Path) -> None:
    for words in command_lines(page):
        names: list[str] = []
        while words and not words[0].startswith("-") and hasattr(command(*names), "list_commands"):
            names.append(words.pop(0))
            assert command(*names) is not None, f"{str_of(page)}: aigw {' '.join(names)}"
        for word in words:
            flag = word.partition("=")[0]
            if re.match(r"--?[a-z]", flag):
                assert flag in flags(*names), f"{str_of(page)}: aigw {' '.join(names)} {flag}"


@pytest.mark.parametrize("page", [p for p in PAGES if p not in _OTHER_PROGRAMS], ids=str_of)
def test_flags_mentioned_alone_exist(page: Path) -> None:
    known = all_flags()
    for code in _INLINE.findall(_FENCE.sub("", text_of(page))):
        flag = re.split(r"[ =]", code)[0]
        if flag.startswith("--") and code not in _OTHERS_FLAGS and not flag.endswith("*"):
            assert flag in known, f"{str_of(page)}: {code}"


def test_the_documentation_does_show_commands() -> None:
    shown = {words[0] for page in PAGES for words in command_lines(page) if words}
    assert shown >= set(command().list_commands(None))


def test_every_page_is_in_the_index() -> None:
    linked = set(_LINK.findall(text_of(DOCS / "README.md")))
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= linked


def test_the_metrics_are_those_of_the_daemon() -> None:
    documented = {
        name: (cells.split("|")[0].strip(), set(_INLINE.findall(cells)))
        for name, cells in _ROW.findall(text_of(DOCS / "operations.md"))
        if name.startswith("coder_")
    }
    assert documented == registered_metrics()


def registered_metrics() -> dict[str, tuple[str, set[str]]]:
    found: dict[str, tuple[str, set[str]]] = {}
    collectors = Metrics().registry._collector_to_names
    for collector in collectors:
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            # The library's own collectors have one family each, and its labels.
            labels = getattr(family, "_labelnames", None) or collector._labelnames  # type: ignore[attr-defined]
            found[name] = (family.type, set(labels))
    return found


def sections(page: Path) -> dict[str, str]:
    return dict(_SECTION.findall(text_of(page)))


@pytest.fixture(scope="module")
def schema() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


@pytest.mark.parametrize(
    "table",
    [
        "meta",
        "interceptions",
        "sessions",
        "usage_quarters",
        "gateway_keys",
        "model_prices",
        "budgets",
        "budget_notices",
        "group_members",
        *CHILD_TABLES,
        "search",
    ],
)
def test_the_columns_are_those_of_the_schema(table: str, schema: sqlite3.Connection) -> None:
    columns = [row[1] for row in schema.execute(f"PRAGMA table_info({table})")]
    documented = [name for name, _ in _ROW.findall(sections(DOCS / "schema.md")[table])]
    assert documented == columns


def test_the_tables_and_indexes_are_those_of_the_schema(schema: sqlite3.Connection) -> None:
    rows = schema.execute("SELECT type, name FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    tables = {name for kind, name in rows if kind == "table" and not name.startswith("search_")}
    documented = sections(DOCS / "schema.md")
    assert {name for name in documented if re.fullmatch(r"[a-z_]+", name)} == tables
    indexes = {name for kind, name in rows if kind == "index"}
    assert {name for name, _ in _ROW.findall(documented["Indexes"])} == indexes


def test_the_schema_version_is_the_documented_one() -> None:
    assert f"the schema's version, now {SCHEMA_VERSION}." in text_of(DOCS / "schema.md")


def test_the_example_queries_run(schema: sqlite3.Connection) -> None:
    blocks = [block for kind, block in _FENCE.findall(text_of(DOCS / "schema.md")) if kind == "sql"]
    statements = [part for block in blocks for part in block.split(";") if part.strip()]
    assert statements
    for statement in statements:
        schema.execute(statement)


@pytest.mark.parametrize("kind", list(RecordType))
def test_the_record_fields_are_those_of_the_json_form(kind: RecordType) -> None:
    struct = next(struct for struct, name in records.RECORD_TYPES.items() if name is kind)
    section = sections(DOCS / "records.md")[kind.value].partition("\n### ")[0]
    table = section[section.index("| field |") :].partition("\n\n")[0]
    assert [name for name, _ in _ROW.findall(table)] == list(records._LOGGED_FIELDS[struct])


def test_there_are_no_paths_of_one_machine() -> None:
    personal = re.compile(r"(?<![\w.~$}])/(?:home|Users)/(?!you\b)\w")
    for path in repository_files():
        text = path.read_bytes().decode("utf-8", "ignore")
        found = personal.search(text)
        assert found is None, f"{path.relative_to(ROOT)}: {found}"
        # A checkout in `/app` says nothing: that path may well be part of a text.
        assert len(ROOT.parts) < 3 or f"{ROOT}/" not in text, path.relative_to(ROOT)


def repository_files() -> Iterator[Path]:
    """All files but what is built, cached or hidden; `.ci` is a part of the repository."""
    left_out = {"__pycache__", "build", "dist"}
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in parts[:-1])
        if path.is_file() and not hidden and not left_out.intersection(parts):
            yield path
