"""The options of the gateway: the names that Coder's AI Bridge has, and its later ones as aliases."""

from __future__ import annotations

from aigw.option import Option

AIBRIDGE = "Gateway"
PROVIDERS = "Providers"
ACCESS = "Access and limits"
BUDGETS = "Budgets"


def _aibridge(
    name: str,
    kind: str,
    help_text: str,
    default: str = "",
    *,
    group: str = AIBRIDGE,
    suffix: str = "",
    flag_suffixes: tuple[str, ...] = (),
    key_suffixes: tuple[str, ...] = (),
    secret: bool = False,
    positive: bool = False,
    between: tuple[int, int] | None = None,
) -> Option:
    """An option of the `aibridge` group with its later names, which differ in the prefix only.

    `suffix` is what stands behind the prefix where that is not the name; the further suffixes are
    other spellings of the flag and of the key.
    """
    suffix = suffix or name
    flags = (suffix.replace("_", "-"), *flag_suffixes)
    keys = (suffix, *key_suffixes)
    return Option(
        name=name,
        kind=kind,
        group=group,
        help=help_text,
        default=default,
        secret=secret,
        positive=positive,
        between=between,
        flag=f"--aibridge-{flags[0]}",
        flag_aliases=(
            *(f"--aibridge-{flag}" for flag in flags[1:]),
            *(f"--ai-gateway-{flag}" for flag in flags),
        ),
        variable=f"CODER_AIBRIDGE_{suffix.upper()}",
        variable_aliases=(f"CODER_AI_GATEWAY_{suffix.upper()}",),
        key=f"aibridge.{keys[0]}",
        key_aliases=(
            *(f"aibridge.{key}" for key in keys[1:]),
            *(f"ai_gateway.{key}" for key in keys),
        ),
    )


_KEY_HELP = (
    "{} API key. It replaces the client's own credential. Give a reference instead of the key: "
    "env:NAME, file:PATH or cmd:COMMAND. Empty: the client's credential goes upstream."
)

GATEWAY_OPTIONS: tuple[Option, ...] = (
    _aibridge("enabled", "bool", "Start the AI gateway. Nothing is served without it.", "false"),
    _aibridge(
        "openai_base_url",
        "url",
        "Base URL of the OpenAI API, or of any API that speaks it.",
        "https://api.openai.com/v1/",
        group=PROVIDERS,
    ),
    _aibridge("openai_key", "string", _KEY_HELP.format("OpenAI"), group=PROVIDERS, secret=True),
    _aibridge(
        "anthropic_base_url",
        "url",
        "Base URL of the Anthropic API, or of any API that speaks it.",
        "https://api.anthropic.com/",
        group=PROVIDERS,
    ),
    _aibridge(
        "anthropic_key", "string", _KEY_HELP.format("Anthropic"), group=PROVIDERS, secret=True
    ),
    _aibridge(
        "bedrock_region",
        "string",
        "AWS region of Amazon Bedrock. With it, or with a Bedrock base URL, Claude is served from "
        "Bedrock.",
        group=PROVIDERS,
    ),
    _aibridge(
        "bedrock_base_url",
        "url",
        "Address of the Bedrock runtime, where it is not the region's own. It wins over the region, "
        "which is then only signed for.",
        group=PROVIDERS,
    ),
    _aibridge(
        "bedrock_access_key",
        "string",
        "AWS access key id. Without it AWS's own chain of credentials is used: variables, profile, "
        "SSO, web identity, container, instance.",
        group=PROVIDERS,
        secret=True,
    ),
    _aibridge(
        "bedrock_access_key_secret",
        "string",
        "AWS secret access key, given together with the access key id.",
        group=PROVIDERS,
        secret=True,
    ),
    _aibridge(
        "bedrock_model",
        "string",
        "Bedrock model for requests whose model no other rule maps.",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        group=PROVIDERS,
    ),
    _aibridge(
        "bedrock_small_fast_model",
        "string",
        "Bedrock model for requests whose model's name holds 'haiku'.",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        group=PROVIDERS,
        flag_suffixes=("bedrock-small-fastmodel",),
        key_suffixes=("bedrock_small_fastmodel",),
    ),
    _aibridge(
        "retention",
        "duration",
        "How long records are kept: a duration such as 90d, 12h or 1w2d. 0 keeps them for ever.",
        "60d",
    ),
    _aibridge(
        "structured_logging",
        "bool",
        "Also write each record as a log line with the message 'interception log'.",
        "false",
    ),
    _aibridge(
        "dump_dir",
        "path",
        "Folder for a HAR file of each request and its answer, credentials masked. They hold "
        "prompts and answers in full. Empty: none are written.",
        suffix="dump_dir",
        key_suffixes=("api_dump_dir",),
    ),
    Option(
        name="dump_max_age",
        kind="duration",
        group=AIBRIDGE,
        help="How long dumped HAR files are kept. 0 keeps them for ever.",
        flag="--dump-max-age",
        variable="AIGW_DUMP_MAX_AGE",
        key="aigw.dump_max_age",
        default="7d",
    ),
    Option(
        name="dump_max_size",
        kind="size",
        group=AIBRIDGE,
        help="How much room dumped HAR files may take together; the oldest go first.",
        flag="--dump-max-size",
        variable="AIGW_DUMP_MAX_SIZE",
        key="aigw.dump_max_size",
        default="1GiB",
        positive=True,
    ),
    _aibridge(
        "allow_byok",
        "bool",
        "Let users send their own provider credential beside their gateway key.",
        "true",
        group=ACCESS,
    ),
    _aibridge(
        "max_concurrency",
        "int",
        "Most requests served at a time; further ones get 503. 0: no limit.",
        "0",
        group=ACCESS,
        between=(0, 1_000_000),
    ),
    _aibridge(
        "rate_limit",
        "int",
        "Most requests a second for each gateway key, or for each client address where no keys are "
        "used; further ones get 429. 0: no limit.",
        "0",
        group=ACCESS,
        between=(0, 1_000_000),
    ),
    _aibridge(
        "send_actor_headers",
        "bool",
        "Tell providers who asks, in the headers named by the actor-header options. For a proxy of "
        "your own behind the gateway.",
        "false",
        group=ACCESS,
    ),
    _aibridge(
        "actor_header_id",
        "header",
        "Header for the id of who asks. Empty: not sent.",
        "X-AI-Bridge-Actor-ID",
        group=ACCESS,
    ),
    _aibridge(
        "actor_header_username",
        "header",
        "Header for the name of who asks. Empty: not sent.",
        "X-AI-Bridge-Actor-Metadata-Username",
        group=ACCESS,
    ),
    _aibridge(
        "actor_header_email",
        "header",
        "Header for the e-mail address of who asks, where the user of a key is one. Empty: not sent.",
        group=ACCESS,
    ),
    _aibridge(
        "circuit_breaker_enabled",
        "bool",
        "Stop asking a provider's model for a while when it is overloaded or cannot be reached.",
        "false",
        group=ACCESS,
    ),
    _aibridge(
        "circuit_breaker_failure_threshold",
        "int",
        "Failures in a row that open the circuit breaker.",
        "5",
        group=ACCESS,
        between=(1, 100),
    ),
    _aibridge(
        "circuit_breaker_interval",
        "duration",
        "How often the count of failures starts anew while the circuit breaker is closed. 0: never.",
        "10s",
        group=ACCESS,
    ),
    _aibridge(
        "circuit_breaker_timeout",
        "duration",
        "How long an open circuit breaker refuses requests before it lets some through on trial.",
        "30s",
        group=ACCESS,
        positive=True,
    ),
    _aibridge(
        "circuit_breaker_max_requests",
        "int",
        "Requests let through on trial; when as many succeed, the circuit breaker closes.",
        "3",
        group=ACCESS,
        between=(1, 100),
    ),
    Option(
        name="budget_policy",
        kind="string",
        group=BUDGETS,
        help="Which budget counts for a member of several groups: the one with the highest amount.",
        flag="--ai-budget-policy",
        variable="CODER_AI_BUDGET_POLICY",
        key="ai_gateway.budget_policy",
        default="highest",
        choices=("highest",),
    ),
    Option(
        name="budget_period",
        kind="string",
        group=BUDGETS,
        help="The period of a budget that `aigw budgets set` makes without --per.",
        flag="--ai-budget-period",
        variable="CODER_AI_BUDGET_PERIOD",
        key="ai_gateway.budget_period",
        default="month",
        choices=("day", "week", "month"),
    ),
    Option(
        name="budget_refusal",
        kind="string",
        group=BUDGETS,
        help="What a client gets over budget: 'forbidden' is status 403, as in Coder's gateway; "
        "'billing-error' is 429 of the type billing_error; 'usage-limit' is the same, but for OpenAI's API "
        "of the type usage_limit_reached, at which Codex stops at once. SDKs try none of them again.",
        flag="--budget-refusal",
        variable="AIGW_BUDGET_REFUSAL",
        key="aigw.budget_refusal",
        default="forbidden",
        choices=("forbidden", "billing-error", "usage-limit"),
    ),
    Option(
        name="budget_unpriced",
        kind="string",
        group=BUDGETS,
        help="What budgets in dollars do with a model that has no price: 'allow' lets it pass as free, as "
        "in Coder's gateway; 'refuse' refuses it with the code model_not_priced.",
        flag="--budget-unpriced",
        variable="AIGW_BUDGET_UNPRICED",
        key="aigw.budget_unpriced",
        default="allow",
        choices=("allow", "refuse"),
    ),
    Option(
        name="budget_thresholds",
        kind="percents",
        group=BUDGETS,
        help="Percentages of a budget at which the log, the webhook and the command are told.",
        flag="--budget-thresholds",
        variable="AIGW_BUDGET_THRESHOLDS",
        key="aigw.budget_thresholds",
        default="85,100",
    ),
    Option(
        name="budget_webhook",
        kind="string",
        group=BUDGETS,
        help="URL that gets a POST with JSON when a budget passes a threshold: https, or http on "
        "this machine. It may hold a token, so it is kept as a secret.",
        flag="--budget-webhook",
        variable="AIGW_BUDGET_WEBHOOK",
        key="aigw.budget_webhook",
        secret=True,
    ),
    Option(
        name="budget_command",
        kind="command",
        group=BUDGETS,
        help="Command that is run when a budget passes a threshold, with JSON on its standard "
        "input and AIGW_BUDGET_* variables.",
        flag="--budget-command",
        variable="AIGW_BUDGET_COMMAND",
        key="aigw.budget_command",
    ),
)
"""In the order of `--help`."""
