from __future__ import annotations

from pathlib import Path

from aigw.options import OPTIONS
from aigw.options_doc import options_page
from aigw.provider_options import PROVIDER_OPTIONS
from aigw.provider_types import PROVIDER_TYPES

PAGE = Path(__file__).parent.parent / "docs" / "options.md"


def test_the_page_is_in_step_with_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == options_page(), "run: python -m aigw.options_doc"


def test_every_name_is_on_the_page() -> None:
    page = options_page()
    for option in OPTIONS:
        for name in (*option.flags, *option.variables, *option.keys):
            assert f"`{name}`" in page
    for setting in PROVIDER_OPTIONS:
        for name in (*setting.keys, *setting.suffixes):
            assert f"`{name}`" in page
    for name in PROVIDER_TYPES:
        assert f"| `{name}` |" in page
