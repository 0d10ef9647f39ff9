"""The rule table, row by row, with headers as real clients send them."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from aigw.clients import detection
from aigw.clients.detection import RULES, SESSION_ID_LIMIT, Client, detect

ID = "0fb9b32d-393c-48cf-9bbf-3b246e8c5934"


def headers(agent: str | None, **others: str) -> CIMultiDictProxy[str]:
    fields = CIMultiDict({name.replace("__", "-"): value for name, value in others.items()})
    if agent is not None:
        fields["User-Agent"] = agent
    return CIMultiDictProxy(fields)


# User-Agent, further headers, body session id, prompt_cache_key -> name, session id
TABLE: list[tuple[str | None, dict[str, str], str | None, str | None, str, str | None]] = [
    # The reference's rules.
    ("mux/1.0", {"X__Mux__Workspace__Id": ID}, None, None, "Mux", ID),
    ("claude-cli/2.1.197 (external, sdk-cli)", {}, None, None, "Claude Code", None),
    ("Claude-CLI/2.1", {"X__Claude__Code__Session__Id": ID}, "body", None, "Claude Code", ID),
    ("claude-cli/2.1", {}, ID, "cache", "Claude Code", ID),
    ("codex_exec/0.169.0 (Debian 12.0.0)", {"session__id": ID}, None, None, "Codex", ID),
    ("codex_cli_rs/0.46.0", {"session_id": ID}, None, None, "Codex", ID),
    ("Codex Desktop/0.1", {"session__id": ID, "session_id": "old"}, None, None, "Codex", ID),
    ("codex_exec/0.169.0", {}, ID, "cache", "Codex", ID),
    ("codex_exec/0.169.0", {}, None, ID, "Codex", ID),
    ("Zed/0.200.1+stable", {"session__id": ID}, ID, ID, "Zed", None),
    ("GitHubCopilotChat/0.30", {"x__interaction__id": ID}, None, None, "GitHub Copilot (VS Code)", ID),
    ("copilot/1.0.2", {"X__Client__Session__Id": ID}, None, None, "GitHub Copilot (CLI)", ID),
    ("Kilo-Code/7.8.3", {"X__KILOCODE__TASKID": ID}, None, None, "Kilo Code", ID),
    ("node", {"originator": "kilo-code", "X__KiloCode__TaskId": ID}, None, None, "Kilo Code", ID),
    ("node", {"originator": "Kilo-Code"}, None, None, "Unknown", None),
    ("roo-code/3.1", {}, None, None, "Roo Code", None),
    ("RooCode/3.30.0", {}, None, None, "Roo Code", None),
    (None, {"originator": "roo-code"}, None, None, "Roo Code", None),
    ("coder-agents/v2", {"X__Coder__Chat__Id": ID}, None, None, "Coder Agents", ID),
    ("Charm Crush/0.1", {}, None, None, "Charm Crush", None),
    ("Charm-Crush/v0.97.1 (https://charm.land/crush)", {}, None, None, "Charm Crush", None),
    ("axios/1", {"X__Cursor__Client__Version": "1.2"}, None, None, "Cursor", None),
    ("axios/1", {"X__Cursor__Client__Version": " "}, None, None, "Unknown", None),
    ("curl/8.0", {}, ID, ID, "Unknown", None),
    ("", {}, None, None, "Unknown", None),
    (None, {}, None, None, "Unknown", None),
    # Later additions of the reference.
    ("opencode/1.18.33 ai-sdk/provider-utils/4.0.23", {"x__session__id": "ses_1"}, None, None, "OpenCode", "ses_1"),
    ("opencode/1.18.33", {"x__session__affinity": "ses_1"}, None, None, "OpenCode", "ses_1"),
    ("opencode/1.18.33", {}, None, "ses_1", "OpenCode", "ses_1"),
    ("Junie:SNAPSHOT", {}, None, None, "Junie", None),
    # Other agents.
    ("QwenCode/0.15.10 (linux; x64)", {}, None, None, "Qwen Code", None),
    ("QwenCode/0.24.7", {"x__initiator": "user", "x__interaction__type": "x"}, None, None, "Qwen Code", None),
    ("GeminiCLI-tui/0.61.0/gemini-2.5-flash (linux; x64; terminal)", {}, None, None, "Gemini CLI", None),
    ("factory-cli/0.232.0", {}, None, None, "Factory Droid", None),
    ("Cline/3.0.65", {}, None, None, "Cline", None),
    ("aider/0.86.2", {}, None, None, "aider", None),
    ("my-app/1", {"x__claude__code__session__id": ID}, None, None, "Claude Code", ID),
    ("Xcode/27", {"x__codex__window__id": "w:0", "session__id": ID}, None, None, "Codex", ID),
    ("OpenAI/JS 5.20.1", {"x__initiator": "user", "x__interaction__type": "conversation-user"}, None, "hash", "GitHub Copilot (CLI)", None),
    ("Anthropic/JS 0.94.0", {"x__initiator": "agent", "x__interaction__type": "conversation-agent"}, None, None, "GitHub Copilot (CLI)", None),
    # Copilot tells the type of what its user asked only, and not of the loop that follows.
    ("OpenAI/JS 5.20.1", {"x__initiator": "agent"}, None, "hash", "GitHub Copilot (CLI)", None),
    ("Anthropic/JS 0.94.0", {"x__initiator": "agent"}, None, None, "GitHub Copilot (CLI)", None),
    ("OpenAI/JS 5.20.1", {"x__initiator": "agent", "originator": "pi", "session_id": ID}, None, None, "pi", ID),
    ("OpenAI/Python 2.8.1", {"x__initiator": "agent"}, None, None, "OpenAI SDK (Python)", None),
    ("OpenAI/JS 5.20.1", {"x__initiator": "user"}, None, None, "OpenAI SDK (JavaScript)", None),
    ("OpenAI/JS 6.26.0", {"session_id": ID, "x__client__request__id": ID}, None, ID, "pi", ID),
    ("pi (linux)", {"originator": "pi", "session_id": ID}, None, None, "pi", ID),
    ("ls/JS 5.23.2", {}, None, None, "Continue", None),
    # Frameworks and SDKs.
    ("pydantic-ai/2.68.0", {}, None, None, "Pydantic AI", None),
    ("langchain-anthropic/1.7.7", {}, None, None, "LangChain", None),
    ("litellm/1.81.10", {}, None, None, "LiteLLM", None),
    ("ai/6.0.326 ai-sdk/provider-utils/4.0.66 runtime/node.js/v20.20.2", {}, None, None, "Vercel AI SDK", None),
    ("ai-sdk/openai-compatible/3.0.37 ai-sdk/provider-utils/5.0.30", {}, None, None, "Vercel AI SDK", None),
    ("OpenAI/Python 3.54.0", {"session_id": ID}, ID, ID, "OpenAI SDK (Python)", None),
    ("AsyncOpenAI/Python 3.54.0", {}, None, None, "OpenAI SDK (Python)", None),
    ("AsyncAzureOpenAI/Python 3.54.0", {}, None, None, "OpenAI SDK (Python)", None),
    ("OpenAI/JS 6.49.0", {}, None, None, "OpenAI SDK (JavaScript)", None),
    ("OpenAI/Go 3.1.0", {}, None, None, "OpenAI SDK", None),
    ("Anthropic/Python 1.17.0", {}, None, None, "Anthropic SDK (Python)", None),
    ("AsyncAnthropic/Python 1.17.0", {}, None, None, "Anthropic SDK (Python)", None),
    ("AnthropicBedrock/Python 1.17.0", {}, None, None, "Anthropic SDK (Python)", None),
    ("Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1", {}, None, None, "AWS SDK (Python)", None),
    ("aws-sdk-js/3.900.0 ua/2.1", {}, None, None, "AWS SDK", None),
    ("Anthropic/JS 1.12.0", {}, None, None, "Anthropic SDK (JavaScript)", None),
    ("Anthropic/Go 1.2.0", {}, None, None, "Anthropic SDK", None),
    ("google-genai-sdk/3.4.0 gl-python/3.11.7", {}, None, None, "Google Gen AI SDK", None),
]  # fmt: skip


@pytest.mark.parametrize(("agent", "others", "body", "cache_key", "name", "session"), TABLE)
def test_table(
    *,
    agent: str | None,
    others: dict[str, str],
    body: str | None,
    cache_key: str | None,
    name: str,
    session: str | None,
) -> None:
    assert detect(headers(agent, **others), body, cache_key) == Client(name, session)


def test_every_rule_has_a_case() -> None:
    used = {name for *_, name, _session in TABLE}
    assert {rule.name for rule in RULES} | {detection.UNKNOWN} == used


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("  spaced \t", "spaced"),
        ("", None),
        ("   ", None),
        ("x" * SESSION_ID_LIMIT, "x" * SESSION_ID_LIMIT),
        ("x" * (SESSION_ID_LIMIT + 1), None),
        ("a\x00b", None),
        ("a\nb", None),
        ("a\x1b[31mb", None),
        ("a\udc80b", None),
        ("überäll", "überäll"),
    ],
)
def test_session_ids_are_cleaned(value: str, kept: str | None) -> None:
    assert detect(headers("claude-cli/2"), value, None).session_id == kept


CHILD = "a04f96be823cfe2f5"
GRANDCHILD = "a8a5b3a8391b1d0a1"

# User-Agent, headers -> session, agent, parent agent, parent session. As sent, unless it says so.
FAMILIES: list[
    tuple[str, dict[str, str], tuple[str | None, str | None, str | None, str | None]]
] = [
    (
        "claude-cli/2.1.197 (external, sdk-cli)",
        {"x__claude__code__session__id": ID, "x__claude__code__agent__id": CHILD},
        (ID, CHILD, None, None),
    ),
    (
        "claude-cli/2.1.197 (external, sdk-cli)",
        {
            "x__claude__code__session__id": ID,
            "x__claude__code__agent__id": GRANDCHILD,
            "x__claude__code__parent__agent__id": CHILD,
        },
        (ID, GRANDCHILD, CHILD, None),
    ),
    # The Agent SDK in a program of its own.
    (
        "my-app/1",
        {"x__claude__code__session__id": ID, "x__claude__code__agent__id": CHILD},
        (ID, CHILD, None, None),
    ),
    (
        "codex_exec/0.169.0 (Debian 12.0.0; x86_64) unknown (codex_exec; 0.169.0)",
        {"session__id": ID, "thread__id": ID, "x__codex__window__id": f"{ID}:0"},
        (ID, None, None, None),
    ),
    (
        "codex_exec/0.169.0 (Debian 12.0.0; x86_64) unknown (codex_exec; 0.169.0)",
        {
            "session__id": ID,
            "thread__id": CHILD,
            "x__codex__parent__thread__id": ID,
            "x__openai__subagent": "collab_spawn",
        },
        (ID, CHILD, None, None),
    ),
    (
        "codex_exec/0.169.0",
        {"session__id": ID, "thread__id": GRANDCHILD, "x__codex__parent__thread__id": CHILD},
        (ID, GRANDCHILD, CHILD, None),
    ),
    # Before threads shared a session's id.
    (
        "codex_cli_rs/0.90.0",
        {"session_id": CHILD, "x__codex__parent__thread__id": ID},
        (CHILD, None, None, ID),
    ),
    ("opencode/1.18.33", {"X__Session__Id": "ses_1"}, ("ses_1", None, None, None)),
    (
        "opencode/1.18.33",
        {"X__Session__Id": "ses_2", "x__parent__session__id": "ses_1"},
        ("ses_2", None, None, "ses_1"),
    ),
    (
        "copilot/1.0.2",
        {"X__Client__Session__Id": ID, "X__Agent__Task__Id": CHILD},
        (ID, None, None, None),
    ),
    (
        "copilot/1.0.2",
        {
            "X__Client__Session__Id": ID,
            "X__Agent__Task__Id": GRANDCHILD,
            "X__Parent__Agent__Id": CHILD,
        },
        (ID, GRANDCHILD, CHILD, None),
    ),
    (
        "OpenAI/JS 5.20.1",
        {"x__initiator": "agent", "x__interaction__type": "conversation-subagent"},
        (None, None, None, None),
    ),
    # A client that is not known to send them is not believed.
    ("curl/8", {"x__claude__code__agent__id": CHILD}, (None, None, None, None)),
    ("Zed/1", {"x__parent__session__id": ID}, (None, None, None, None)),
]


@pytest.mark.parametrize(("agent", "others", "expected"), FAMILIES)
def test_sub_agents(
    agent: str,
    others: dict[str, str],
    expected: tuple[str | None, str | None, str | None, str | None],
) -> None:
    found = detect(headers(agent, **others), None, None)
    ids = (found.session_id, found.agent_id, found.parent_agent_id, found.parent_session_id)
    assert ids == expected


@pytest.mark.parametrize("value", ["", "  ", "x" * (SESSION_ID_LIMIT + 1), "a\nb", "a\udc80b"])
def test_ids_of_agents_are_cleaned_as_those_of_sessions(value: str) -> None:
    sent = {"x__claude__code__agent__id": value, "x__claude__code__parent__agent__id": CHILD}
    found = detect(headers("claude-cli/2", **sent), ID, None)
    assert found == Client("Claude Code", ID)
    found = detect(headers("opencode/1", x__parent__session__id=value), None, ID)
    assert found == Client("OpenCode", ID)


def test_an_unusable_header_falls_through_to_the_body() -> None:
    sent = headers("claude-cli/2", X__Claude__Code__Session__Id="  ")
    assert detect(sent, ID, None).session_id == ID


def test_the_memo_depends_on_the_agent_alone() -> None:
    agent = "OpenAI/JS 6.26.0 memo"
    plain = headers(agent)
    with_tells = headers(agent, session_id=ID, x__client__request__id=ID)
    names = [detect(sent, None, None).name for sent in (plain, with_tells, plain)]
    assert names == ["OpenAI SDK (JavaScript)", "pi", "OpenAI SDK (JavaScript)"]


def test_the_memo_is_bounded() -> None:
    for number in range(3000):
        detect(headers(f"random/{number}"), None, None)
    detect(headers("random/" + "x" * 100_000), None, None)
    assert len(detection._candidates) <= 1024
    assert max(map(len, detection._candidates)) <= 512


@pytest.mark.parametrize(
    "sent",
    [
        headers("claude-cli/2.1.197 (external, cli)", X__Claude__Code__Session__Id=ID),
        headers("OpenAI/JS 6.49.0"),
        headers("curl/8.0"),
    ],
)
def test_the_table_is_scanned_once_for_each_agent(
    sent: CIMultiDictProxy[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[str] = []
    scan = detection._possible_rules

    def noted(agent: str) -> tuple[detection.Rule, ...]:
        scanned.append(agent)
        return scan(agent)

    monkeypatch.setattr(detection, "_possible_rules", noted)
    detection._candidates.clear()
    found = {detect(sent, None, None) for _ in range(100)}
    assert len(found) == 1
    assert scanned == [sent["User-Agent"]]
