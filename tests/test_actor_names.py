from __future__ import annotations

import pytest

from aigw.actor_names import ACTOR_NAMES, actor_header_problems, is_reserved_actor_name


@pytest.mark.parametrize(
    "name",
    [
        "X-AI-Bridge-Actor",
        "x-ai-bridge-actor-email",
        "X-AI-Bridge-Actor-Metadata-Team",
        "X-AI-Bridge-Actors",
        "X_AI_Bridge_Actor_ID",
    ],
)
def test_what_is_coders_own(name: str) -> None:
    assert is_reserved_actor_name(name)


@pytest.mark.parametrize(
    "name", [*ACTOR_NAMES, "x-ai-bridge-actor-id", "X-User", "X-AI-Bridge", ""]
)
def test_what_is_not(name: str) -> None:
    assert not is_reserved_actor_name(name)


@pytest.mark.parametrize(
    "names",
    [(*ACTOR_NAMES, ""), ("", "", ""), ("X-A", "X-B", "X-C"), ("X-A", "", "X-B"), ("", "", "X-A")],
)
def test_names_that_go_together(names: tuple[str, str, str]) -> None:
    assert actor_header_problems(*names) == []


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("X-A", "x-a", ""), [("username", "id")]),
        (("X-A", "", "X-A"), [("email", "id")]),
        (("", "X-A", "X-A"), [("email", "username")]),
        (("X-A", "X-A", "X-A"), [("username", "id"), ("email", "id")]),
    ],
)
def test_the_same_name_twice(names: tuple[str, str, str], options: list[tuple[str, str]]) -> None:
    problems = actor_header_problems(*names)
    assert len(problems) == len(options)
    for problem, (later, first) in zip(problems, options, strict=True):
        assert problem.startswith(f"--aibridge-actor-header-{later}: ")
        assert f"the header of --aibridge-actor-header-{first} already" in problem
