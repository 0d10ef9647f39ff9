"""What Bedrock's models accept: data for a maintainer to edit, and nothing that acts.

When a model is new, nothing needs to be added as long as it accepts what the newest did
(`NEWEST`); when Bedrock starts or ceases to accept a flag, it goes into or out of a set here.

Sources: Coder's gateway (which flags and fields Bedrock refuses for which model), Anthropic's
Bedrock client (URLs), LiteLLM's list of beta headers, and the issues on Claude Code that report
`invalid beta flag` and `thinking.type.enabled is not supported` for Opus 4.7 and later.
In every pattern `*` stands for any text; letters match in either case.
"""

from __future__ import annotations

from dataclasses import dataclass

ANTHROPIC_VERSION = "bedrock-2023-05-31"
"""The only value of the body's `anthropic_version` on Bedrock."""

CONTEXT_MANAGEMENT_FLAG = "context-management-2025-06-27"
COMPACTION_FLAG = "compact-2026-01-12"
EFFORT_FLAG = "effort-2025-11-24"

_TOOLS = frozenset(
    {
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "tool-examples-2025-10-29",
        "tool-search-tool-2025-10-19",
    }
)
# What later models do without being asked, and whose flags they therefore refuse.
_EXTENSIONS = frozenset(
    {
        "context-1m-2025-08-07",
        "dev-full-thinking-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "output-128k-2025-02-19",
        "token-efficient-tools-2025-02-19",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that accept the same.

    Attributes:
        patterns: of Bedrock ids, or of the models' Anthropic names.
        betas: the flags of `Anthropic-Beta` that they accept.
        adaptive: whether `thinking` may be adaptive; if not, it gets a budget.
        budget: whether `thinking` may have a budget; if not, it becomes adaptive.
        effort: whether `output_config` is accepted without a flag.
    """

    patterns: tuple[str, ...]
    betas: frozenset[str]
    adaptive: bool = True
    budget: bool = True
    effort: bool = True


NEWEST = Family(patterns=("*",), betas=_TOOLS | {COMPACTION_FLAG})

FAMILIES: tuple[Family, ...] = (
    Family(
        patterns=("*claude-opus-4-5*",),
        betas=_TOOLS | _EXTENSIONS | {EFFORT_FLAG},
        adaptive=False,
        effort=False,
    ),
    Family(
        patterns=("*claude-sonnet-4-5*", "*claude-haiku-4-5*"),
        betas=_TOOLS | _EXTENSIONS | {CONTEXT_MANAGEMENT_FLAG},
        adaptive=False,
        effort=False,
    ),
    Family(
        patterns=(
            "*claude-instant*",
            "*claude-v2*",
            "*claude-2*",
            "*claude-3*",
            "*claude-opus-4",
            "*claude-opus-4-0*",
            "*claude-opus-4-1*",
            "*claude-opus-4-2025*",
            "*claude-sonnet-4",
            "*claude-sonnet-4-0*",
            "*claude-sonnet-4-2025*",
        ),
        betas=_TOOLS | _EXTENSIONS,
        adaptive=False,
        effort=False,
    ),
    Family(
        patterns=("*claude-opus-4-6*", "*claude-sonnet-4-6*"),
        betas=_TOOLS | _EXTENSIONS | {COMPACTION_FLAG},
    ),
    Family(
        patterns=("*claude-opus-4-7*", "*claude-opus-4-8*"),
        betas=NEWEST.betas,
        budget=False,
    ),
    NEWEST,
)
"""The first whose pattern matches counts."""

RENAMED_BETAS = {"advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19"}
"""Flags that Bedrock knows by another name."""

LOCAL_BETAS = frozenset({"oauth-2025-04-20"})
"""Flags on how a client signs in at Anthropic: they mean nothing elsewhere, whatever is passed on."""

REFUSED_FIELDS = frozenset({"container", "inference_geo", "metadata", "service_tier"})
"""Members of a Messages request that no model on Bedrock accepts."""

FLAGGED_FIELDS = {"context_management": frozenset({CONTEXT_MANAGEMENT_FLAG, COMPACTION_FLAG})}
"""Members that are accepted only together with one of these flags."""

EFFORT_RATIOS = {"low": 0.2, "medium": 0.5, "max": 0.95}
"""The part of `max_tokens` that may be thoughts, by effort, where thinking needs a budget."""

USUAL_RATIO = 0.8
"""The same for every other effort, and where none is given."""

LEAST_BUDGET = 1024
"""The smallest budget of thinking that the API accepts, in tokens."""

VENDORS = frozenset(
    {
        "ai21",
        "amazon",
        "anthropic",
        "cohere",
        "deepseek",
        "google",
        "luma",
        "meta",
        "minimax",
        "mistral",
        "moonshot",
        "moonshotai",
        "nvidia",
        "openai",
        "qwen",
        "stability",
        "twelvelabs",
        "writer",
        "zai",
    }
)
"""How ids of models on Bedrock begin, but for a geography (`us.`, `global.`) before them."""

SYSTEM_TURNS_FLAG = "mid-conversation-system-2026-04-07"
"""Claude Code's flag for messages with the role `system` (seen with 2.1.197). Bedrock is not known to
take it, so those messages become the user's."""

PASSED_HEADERS = frozenset({"accept", "content-type", "traceparent", "tracestate", "user-agent"})
"""Headers of a Messages client that are of use to AWS. Everything else stays here: above all
credentials of Anthropic's, and cookies."""

PASSED_PREFIX = "x-amzn-bedrock-"
"""Bedrock's own: guardrails, trace, latency and service tier."""

MANTLE_HEADERS = PASSED_HEADERS | {"accept-encoding", "anthropic-beta", "anthropic-version"}
"""The same for Mantle, which speaks the Messages API."""

SIGNED_ELSEWHERE = frozenset(
    {
        "api-key",
        "authorization",
        "cookie",
        "date",
        "forwarded",
        "host",
        "proxy-authorization",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-api-key",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-goog-api-key",
    }
)
"""Headers of a client of Bedrock's own API that held for the gateway only: credentials, the
signature of the client's request, and the way it came."""
