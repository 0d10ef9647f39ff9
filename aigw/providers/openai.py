"""OpenAI's API and the services that speak it. `/v1` belongs to the base URL, not to the route."""

from aigw.providers.provider import ErrorShape, ProviderType
from aigw.wire.apis import Api

OPENAI = ProviderType(
    name="openai",
    prefix="/v1",
    error_shape=ErrorShape.OPENAI,
    intercepted={"/chat/completions": Api.CHAT_COMPLETIONS, "/responses": Api.RESPONSES},
    passed=("/models", "/models/*", "/conversations", "/conversations/*", "/responses/*"),
    key_header=("Authorization", "Bearer {}"),
    credential_headers=("Authorization", "X-Api-Key"),
)
