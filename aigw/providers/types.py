"""The types of provider: what each API looks like from outside. Data, and nothing that acts.

Routes are those of Coder's gateway for the same types. What the configuration needs too, such as
the base URLs, is in `provider_types.PROVIDER_TYPES`.
"""

from __future__ import annotations

from dataclasses import replace

from aigw.provider_types import PROVIDER_TYPES
from aigw.providers.provider import ErrorShape, ProviderType
from aigw.wire.apis import Api

# `/v1` belongs to the base URL, not to the route.
OPENAI = ProviderType(
    name="openai",
    family="openai",
    base_url=PROVIDER_TYPES["openai"].base_url,
    prefix="/v1",
    error_shape=ErrorShape.OPENAI,
    # Compacting a conversation is an answer of the model's too, and paid for.
    intercepted={
        "/chat/completions": Api.CHAT_COMPLETIONS,
        "/responses": Api.RESPONSES,
        "/responses/compact": Api.RESPONSES,
    },
    passed=("/models", "/models/*", "/conversations", "/conversations/*", "/responses/*"),
    key_header=("Authorization", "Bearer {}"),
    credential_headers=("Authorization", "X-Api-Key"),
)

# `/v1` belongs to the route: clients are given a base URL without it.
ANTHROPIC = ProviderType(
    name="anthropic",
    family="anthropic",
    base_url=PROVIDER_TYPES["anthropic"].base_url,
    prefix="",
    error_shape=ErrorShape.ANTHROPIC,
    intercepted={"/v1/messages": Api.MESSAGES},
    passed=("/v1/messages/count_tokens", "/v1/models", "/v1/models/*", "/api/event_logging/*"),
    key_header=("X-Api-Key", "{}"),
    credential_headers=("X-Api-Key", "Authorization"),
)

# Anthropic's Messages API for who asks `/v1/messages`, and Bedrock's own for who speaks that.
BEDROCK = ProviderType(
    name="bedrock",
    family="anthropic",
    base_url="",
    prefix="",
    error_shape=ErrorShape.ANTHROPIC,
    intercepted={
        "/v1/messages": Api.MESSAGES,
        "/model/*/invoke": Api.INVOKE,
        "/model/*/invoke-with-response-stream": Api.INVOKE,
        "/model/*/converse": Api.CONVERSE,
        "/model/*/converse-stream": Api.CONVERSE,
    },
    passed=(
        "/v1/messages/count_tokens",
        "/v1/models",
        "/v1/models/*",
        "/api/event_logging/*",
        "/model/*/count-tokens",
    ),
    key_header=("Authorization", "Bearer {}"),
    credential_headers=("Authorization", "X-Api-Key"),
)

# The user's own GitHub token, with which nothing can be done that the user may not do: so all
# other paths are passed through, as in the later of Coder's gateways.
COPILOT = ProviderType(
    name="copilot",
    family="copilot",
    base_url=PROVIDER_TYPES["copilot"].base_url,
    prefix="",
    error_shape=ErrorShape.OPENAI,
    intercepted={
        "/chat/completions": Api.CHAT_COMPLETIONS,
        "/responses": Api.RESPONSES,
        "/v1/messages": Api.MESSAGES,
    },
    passed=("/models", "/models/*", "/agents/*", "/mcp", "/mcp/*", "/.well-known/*", "/*"),
    key_header=("Authorization", "Bearer {}"),
    credential_headers=("Authorization", "X-Api-Key"),
    is_personal=True,
)

TYPES: dict[str, ProviderType] = {
    kind.name: kind
    for kind in (
        OPENAI,
        ANTHROPIC,
        BEDROCK,
        COPILOT,
        # A key goes into a header of Azure's own; a client's Entra token is a Bearer one.
        replace(
            OPENAI,
            name="azure",
            base_url="",
            key_header=("api-key", "{}"),
            credential_headers=("api-key", "Authorization", "X-Api-Key"),
        ),
        replace(
            OPENAI,
            name="google",
            base_url=PROVIDER_TYPES["google"].base_url,
            credential_headers=("Authorization", "X-Api-Key", "X-Goog-Api-Key"),
        ),
        replace(OPENAI, name="openrouter", base_url=PROVIDER_TYPES["openrouter"].base_url),
        replace(OPENAI, name="vercel", base_url=PROVIDER_TYPES["vercel"].base_url),
        replace(OPENAI, name="openai-compat", base_url=""),
        # A ChatGPT plan: the login of the user's own Codex.
        replace(
            OPENAI,
            name="chatgpt",
            base_url=PROVIDER_TYPES["chatgpt"].base_url,
            is_personal=True,
        ),
    )
}
"""By the name that the configuration has for a type."""
