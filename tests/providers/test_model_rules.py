from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.providers.model_rules import (
    Choice,
    ModelRefusedError,
    ModelRules,
    names_one_model,
)


@pytest.mark.parametrize(
    ("rules", "model", "choice"),
    [
        (ModelRules(), "gpt-5", Choice("gpt-5", None)),
        (ModelRules(), "", Choice("", None)),
        (ModelRules(allow=["gpt-5*"]), "gpt-5-mini", Choice("gpt-5-mini", None)),
        (ModelRules(allow=["GPT-5*"]), "Gpt-5", Choice("Gpt-5", None)),
        (ModelRules(deny=["gpt-4*"]), "gpt-5", Choice("gpt-5", None)),
        (
            ModelRules(aliases={"fast": "gpt-5-nano"}),
            "FAST",
            Choice("gpt-5-nano", 'alias "fast" = "gpt-5-nano"'),
        ),
        # The name of an alias need not be allowed, and may be a denied model: it is not asked for.
        (
            ModelRules(allow=["gpt-5*"], deny=["gpt-4*"], aliases={"gpt-4": "gpt-5"}),
            "gpt-4",
            Choice("gpt-5", 'alias "gpt-4" = "gpt-5"'),
        ),
        # Once, not on and on.
        (ModelRules(aliases={"a": "b", "b": "a"}), "a", Choice("b", 'alias "a" = "b"')),
        (ModelRules(aliases={"fast": "gpt-5"}), "", Choice("", None)),
    ],
)
def test_what_is_asked_for(rules: ModelRules, model: str, choice: Choice) -> None:
    assert rules.choose(model) == choice


@pytest.mark.parametrize(
    ("rules", "model", "rule"),
    [
        (
            ModelRules(deny=["o1*", "gpt-4*"], provider="openai"),
            "gpt-4-turbo",
            'provider openai denies models matching "gpt-4*"',
        ),
        (
            ModelRules(allow=["a", "b*"], provider="team"),
            "c",
            "provider team allows only: a, b*",
        ),
        (ModelRules(allow=["*"], deny=["gpt-4"]), "GPT-4", 'the provider denies models matching "gpt-4"'),
        (ModelRules(deny=["gpt-4"]), " gpt-4\n", 'the provider denies models matching "gpt-4"'),
        (
            ModelRules(deny=["gpt-4*"], aliases={"cheap": "gpt-4"}),
            "cheap",
            'the provider denies models matching "gpt-4*"',
        ),
    ],
)  # fmt: skip
def test_what_is_refused(rules: ModelRules, model: str, rule: str) -> None:
    with pytest.raises(ModelRefusedError) as caught:
        rules.choose(model)
    assert caught.value.rule == rule
    assert caught.value.model == (rules.aliases.get(model) or model)
    assert rule in str(caught.value)
    assert (caught.value.status, caught.value.kind) == (404, "model_not_found")


@pytest.mark.parametrize("rules", [ModelRules(allow=["*"]), ModelRules(deny=["gpt-4"])])
@pytest.mark.parametrize("model", ["", " ", "\n"])
def test_where_there_are_rules_an_unread_model_is_refused(rules: ModelRules, model: str) -> None:
    with pytest.raises(ModelRefusedError, match="names no model that the rules of the provider"):
        rules.choose(model)


def test_a_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(ModelRefusedError) as caught:
        ModelRules(allow=["a"]).choose("x" * 1_000_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        (ModelRules(), False),
        (ModelRules(allow=["a"]), True),
        (ModelRules(deny=["a"]), True),
        (ModelRules(aliases={"a": "b"}), True),
    ],
)
def test_when_the_model_must_be_named_once(rules: ModelRules, needed: bool) -> None:
    assert rules.needs_single_model is needed


@pytest.mark.parametrize(
    ("body", "one"),
    [
        (b'{"model":"a"}', True),
        (b' \n{"stream":true, "model": "a", "messages":[{"model":"b"}]}', True),
        (b'{"metadata":{"model":"x"},"model":"a"}', True),
        (b'{"text":"\\"model\\":1","model":"a"}', True),
        (b"{}", True),
        (b'{"model":"a","model":"b"}', False),
        (b'{"model":"a","messages":[],"Model":"b"}', False),
        (b'{"model":"a","m\\u006fdel":"b"}', False),
        (b'{"model":"a","MODEL":1}', False),
        (b'{"model":{"model":"a"},"model":"b"}', False),
        (b'{"x":{"model":"a"},"x":{"model":"a"},"model":"b"}', True),
        # There no model can be read; the rules refuse it for that.
        (b"", True),
        (b"[1]", True),
        (b"\x1f\x8b", True),
        # The reader of requests understands these, so they cannot hide a second one.
        (b'\xef\xbb\xbf{"model":"a"}', True),
        (b'\xef\xbb\xbf{"model":"a","model":"b"}', False),
        ('{"model":"a","model":"b"}'.encode("utf-16"), False),
        ('{"model":"a","model":"b"}'.encode("utf-16-be"), False),
        ('{"model":"a","Model":"b"}'.encode("utf-32"), False),
        # Something begins, and nobody can say what.
        (b'{"model":"a"', False),
        (b'{"model":"a","\\ud800x":"b"}', False),
    ],
)
def test_whether_a_body_names_one_model(body: bytes, one: bool) -> None:
    assert names_one_model(body) is one


_MODEL_NAMES = st.sampled_from(
    ["model", "Model", "MODEL", "m\\u006fdel", "m\\u004Fdel", "name", "x"]
)
_TEXTS = st.sampled_from(["model", '\\"model\\":', "\\\\", "", '\\\\\\"model'])


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(_MODEL_NAMES, values).map(lambda pair: f'"{pair[0]}" : {pair[1]}')
    return st.lists(member, max_size=4).map(lambda parts: f"{{{','.join(parts)}}}")


_JSON = st.recursive(
    st.one_of(st.just("1"), _TEXTS.map(lambda text: f'"{text}"')),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"), _objects(inner)
    ),
)


@given(_objects(_JSON))
def test_the_quick_way_says_what_a_parser_says(text: str) -> None:
    names: list[list[str]] = []
    json.loads(text, object_pairs_hook=lambda pairs: names.append([name for name, _ in pairs]))
    assert names_one_model(text.encode()) is (
        sum(name.lower() == "model" for name in names[-1]) <= 1
    )


def test_a_body_full_of_tools_names_one() -> None:
    tool = {"name": "task", "input_schema": {"properties": {"model": {"type": "string"}}}}
    message = {"role": "user", "content": 'about "model": '}
    body = json.dumps({"model": "m", "tools": [tool] * 100, "messages": [message] * 20_000})
    assert names_one_model(body.encode())
