"""Anthropic's API. `/v1` belongs to the route: clients are given a base URL without it."""

from aigw.providers.provider import ErrorShape, ProviderType
from aigw.wire.apis import Api

ANTHROPIC = ProviderType(
    name="anthropic",
    prefix="",
    error_shape=ErrorShape.ANTHROPIC,
    intercepted={"/v1/messages": Api.MESSAGES},
    passed=("/v1/messages/count_tokens", "/v1/models", "/v1/models/*", "/api/event_logging/*"),
    key_header=("X-Api-Key", "{}"),
    credential_headers=("X-Api-Key", "Authorization"),
)
