"""Which program sent a request, and in which of its sessions.

The rules are one table, read from the top, first match wins. The rows down to Cursor, with their
names and session headers, are those of Coder's AI Gateway, so that reports made for it keep their
values; the rows after them are agents and SDKs seen on the wire that it knows as `Unknown`. A row
of the second part never takes a request from a row of the first.

A client that shares its SDK's User-Agent and sends nothing else of its own (aider, llm, Cline's
command line) is recorded under the SDK's name: a guess would put words in an auditor's mouth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN: Final = "Unknown"
"""The name of a client that no rule knows."""

SESSION_ID_LIMIT: Final = 256
"""Longest session id kept, in characters. Those in use are UUIDs or about 30 characters; a longer
one is not cut, since two sessions that share a beginning would become one: it counts as absent."""

_AGENTS_REMEMBERED: Final = 1024
"""How many User-Agents the memo holds. A user's machine shows a handful; the bound is against a
client that sends a new one each time, which then costs a scan of the table (about 3 µs) again."""

_AGENT_LENGTH_REMEMBERED: Final = 512
"""Longest User-Agent kept in the memo, so that the memo stays below a megabyte. Real ones are
below 200 characters."""

BODY_SESSION: Final = "body: session id"
"""Session source: the id that the wire reader found in the body, `detect`'s `session_key`."""

BODY_CACHE_KEY: Final = "body: prompt_cache_key"
"""Session source: the body's `prompt_cache_key`, for clients known to put their session id there."""


class Client(msgspec.Struct, frozen=True, gc=False):
    """The program that sent a request, and what it tells of its sessions; None where it does not.

    `agent_id` and `parent_agent_id` name the sub-agent that asks and the one that started it, both
    None where that is the session's main agent. `parent_session_id` is the session that started
    this one: a client gives its sub-agents either ids or sessions of their own. See
    `records.InterceptionStart`.
    """

    name: str
    session_id: str | None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    parent_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: matches when every condition it states holds; a row may leave any of them out.

    `agent` is one of several beginnings of the lower-cased User-Agent. `headers` are names with
    the exact value wanted, or None for any value but blanks. `session` lists where the session id
    is looked for, in order: header names, BODY_SESSION or BODY_CACHE_KEY.

    `sub_agent` names the headers with the id of a sub-agent and of its parent. The latter may be
    empty. An id that is the session's own is that of the main agent. With `named_by_parent` the
    first header is sent by all agents, and tells of a sub-agent only beside the second.
    `parent_session` is the header with the session that started this one, read where there is no
    sub-agent.
    """

    name: str
    agent: tuple[str, ...] = ()
    headers: tuple[tuple[str, str | None], ...] = ()
    session: tuple[str, ...] = ()
    sub_agent: tuple[str, str] | None = None
    named_by_parent: bool = False
    parent_session: str = ""


COPILOT_CLI: Final = "GitHub Copilot (CLI)"
_CLAUDE_SESSION = ("x-claude-code-session-id", BODY_SESSION)
# Codex renamed its header in 2026 from `session_id`; both spellings are in use.
_CODEX_SESSION = ("session-id", "session_id", BODY_SESSION, BODY_CACHE_KEY)
_CLAUDE_SUB_AGENT = ("x-claude-code-agent-id", "x-claude-code-parent-agent-id")
# A thread of Codex' is an agent, and the main one has the session's id. Before it named the thread
# in a header of its own, each had a session of its own.
_CODEX_SUB_AGENT = ("thread-id", "x-codex-parent-thread-id")
_CODEX_PARENT = "x-codex-parent-thread-id"
# Copilot sends a task's id with every request.
_COPILOT_SUB_AGENT = ("x-agent-task-id", "x-parent-agent-id")
_OPENCODE_SESSION = ("x-session-id", "x-session-affinity", "x-opencode-session", BODY_CACHE_KEY)

RULES: tuple[Rule, ...] = (
    Rule("Mux", agent=("mux/",), session=("x-mux-workspace-id",)),
    Rule("Claude Code", agent=("claude",), session=_CLAUDE_SESSION, sub_agent=_CLAUDE_SUB_AGENT),
    Rule(
        "Codex",
        agent=("codex",),
        session=_CODEX_SESSION,
        sub_agent=_CODEX_SUB_AGENT,
        parent_session=_CODEX_PARENT,
    ),
    Rule("Zed", agent=("zed/",)),
    Rule(
        "GitHub Copilot (VS Code)",
        agent=("githubcopilotchat/",),
        session=("x-interaction-id",),
        sub_agent=_COPILOT_SUB_AGENT,
        named_by_parent=True,
    ),
    Rule(
        COPILOT_CLI,
        agent=("copilot/",),
        session=("x-client-session-id",),
        sub_agent=_COPILOT_SUB_AGENT,
        named_by_parent=True,
    ),
    Rule("Kilo Code", agent=("kilo-code/",), session=("x-kilocode-taskid",)),
    Rule("Kilo Code", headers=(("originator", "kilo-code"),), session=("x-kilocode-taskid",)),
    Rule("Roo Code", agent=("roo-code/", "roocode/")),
    Rule("Roo Code", headers=(("originator", "roo-code"),)),
    Rule("Coder Agents", agent=("coder-agents/",), session=("x-coder-chat-id",)),
    Rule("Charm Crush", agent=("charm crush/", "charm-crush/")),
    Rule("Cursor", headers=(("x-cursor-client-version", None),)),
    # Names that newer versions of Coder's gateway added. Junie sends `Junie:SNAPSHOT`.
    Rule(
        "OpenCode",
        agent=("opencode",),
        session=_OPENCODE_SESSION,
        parent_session="x-parent-session-id",
    ),
    Rule("Junie", agent=("junie",)),
    # Agents with a User-Agent of their own.
    Rule("Qwen Code", agent=("qwencode/",)),
    Rule("Gemini CLI", agent=("geminicli",)),
    Rule("Factory Droid", agent=("factory-cli/",)),
    Rule("Cline", agent=("cline/",)),
    Rule("aider", agent=("aider/",)),
    # Agents behind an SDK's User-Agent, or embedded in another program, told by their headers.
    Rule(
        "Claude Code",
        headers=(("x-claude-code-session-id", None),),
        session=_CLAUDE_SESSION,
        sub_agent=_CLAUDE_SUB_AGENT,
    ),
    Rule(
        "Codex",
        headers=(("x-codex-window-id", None),),
        session=_CODEX_SESSION,
        sub_agent=_CODEX_SUB_AGENT,
        parent_session=_CODEX_PARENT,
    ),
    Rule(
        COPILOT_CLI,
        headers=(("x-initiator", None), ("x-interaction-type", None)),
        session=("x-client-session-id",),
        sub_agent=_COPILOT_SUB_AGENT,
        named_by_parent=True,
    ),
    Rule("pi", headers=(("originator", "pi"),), session=("session_id", BODY_CACHE_KEY)),
    # pi's Responses requests: no other client of this SDK is known to send both headers.
    Rule(
        "pi",
        agent=("openai/js",),
        headers=(("session_id", None), ("x-client-request-id", None)),
        session=("session_id", BODY_CACHE_KEY),
    ),
    # Copilot's loop. Others that send the header to GitHub have another User-Agent there.
    Rule(
        COPILOT_CLI,
        agent=("openai/js", "anthropic/js"),
        headers=(("x-initiator", "agent"),),
        session=("x-client-session-id",),
        sub_agent=_COPILOT_SUB_AGENT,
        named_by_parent=True,
    ),
    # Continue's bundled OpenAI SDK shows its minified class name instead of `OpenAI`.
    Rule("Continue", agent=("continue/", "ls/js ")),
    # Frameworks and SDKs. `(Async)(Azure)OpenAI/Python` are the Python SDK's client classes.
    Rule("Pydantic AI", agent=("pydantic-ai/",)),
    Rule("LangChain", agent=("langchain",)),
    Rule("LiteLLM", agent=("litellm/",)),
    Rule("Vercel AI SDK", agent=("ai/", "ai-sdk/")),
    Rule(
        "OpenAI SDK (Python)",
        agent=(
            "openai/python",
            "asyncopenai/python",
            "azureopenai/python",
            "asyncazureopenai/python",
        ),
    ),
    Rule("OpenAI SDK (JavaScript)", agent=("openai/js", "azureopenai/js")),
    Rule("OpenAI SDK", agent=("openai/", "openai::client/")),
    Rule(
        "Anthropic SDK (Python)",
        agent=(
            "anthropic/python",
            "asyncanthropic/python",
            "anthropicbedrock/python",
            "asyncanthropicbedrock/python",
        ),
    ),
    Rule("AWS SDK (Python)", agent=("boto3/", "botocore/")),
    Rule("AWS SDK", agent=("aws-sdk-", "aws-cli/")),
    Rule("Anthropic SDK (JavaScript)", agent=("anthropic/js",)),
    Rule("Anthropic SDK", agent=("anthropic/", "anthropic::client/")),
    Rule("Google Gen AI SDK", agent=("google-genai-sdk/",)),
)
"""All that is known about clients, most specific first within each part."""

# User-Agent as sent -> the rules that it leaves possible, ending with the first one that needs no
# header. Only written from the event loop's thread.
_candidates: dict[str, tuple[Rule, ...]] = {}


def detect(
    headers: Mapping[str, str], session_key: str | None, prompt_cache_key: str | None
) -> Client:
    """Name the client of a request and its session. Never raises.

    Args:
        headers: the request's headers, in a mapping that ignores the case of names.
        session_key: the session id that the body holds (`RequestFacts.session_key`).
        prompt_cache_key: the body's `prompt_cache_key`.
    """
    agent = headers.get("user-agent", "")
    candidates = _candidates.get(agent)
    if candidates is None:
        candidates = _remember(agent)
    for rule in candidates:
        # Nearly no request has the header that a rule begins with, and each is held against seven.
        if not rule.headers or (rule.headers[0][0] in headers and _headers_match(rule, headers)):
            session = _session(rule, headers, session_key, prompt_cache_key)
            return Client(rule.name, session, *_ancestry(rule, headers, session))
    return Client(UNKNOWN, None)


def _remember(agent: str) -> tuple[Rule, ...]:
    candidates = _possible_rules(agent)
    if len(agent) <= _AGENT_LENGTH_REMEMBERED:
        if len(_candidates) >= _AGENTS_REMEMBERED:
            _candidates.clear()
        _candidates[agent] = candidates
    return candidates


def _possible_rules(agent: str) -> tuple[Rule, ...]:
    lowered = agent.lower()
    possible: list[Rule] = []
    for rule in RULES:
        if rule.agent and not lowered.startswith(rule.agent):
            continue
        possible.append(rule)
        if not rule.headers:
            break
    return tuple(possible)


def _headers_match(rule: Rule, headers: Mapping[str, str]) -> bool:
    for name, wanted in rule.headers:
        value = headers.get(name)
        if value is None or (value != wanted if wanted is not None else not value.strip()):
            return False
    return True


def _session(
    rule: Rule,
    headers: Mapping[str, str],
    session_key: str | None,
    prompt_cache_key: str | None,
) -> str | None:
    for source in rule.session:
        if source == BODY_SESSION:
            value = session_key
        elif source == BODY_CACHE_KEY:
            value = prompt_cache_key
        else:
            value = headers.get(source)
        if (found := _id(value)) is not None:
            return found
    return None


def _ancestry(
    rule: Rule, headers: Mapping[str, str], session: str | None
) -> tuple[str | None, str | None, str | None]:
    """The sub-agent that asks, the one that started it, and the session that started this one."""
    agent = parent = None
    if rule.sub_agent is not None:
        agent, parent = (_other(headers.get(name), session) for name in rule.sub_agent)
        if rule.named_by_parent and parent is None:
            agent = None
    if agent is not None:
        return agent, parent, None
    if not rule.parent_session:
        return None, None, None
    return None, None, _other(headers.get(rule.parent_session), session)


def _other(value: str | None, session: str | None) -> str | None:
    """An id that is not the session's own."""
    found = _id(value)
    return None if found == session else found


def _id(value: str | None) -> str | None:
    """An id as it is kept; None for what cannot be one."""
    if not value:
        return None
    value = value.strip()
    # isprintable also turns away lone surrogates, which SQLite cannot store.
    return value if value and len(value) <= SESSION_ID_LIMIT and value.isprintable() else None
