"""Which paths are served, and where they lead."""

from __future__ import annotations

import pytest

from aigw.provider_types import PROVIDER_TYPES
from aigw.providers.call import ApiKey
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import ErrorShape, Provider, ProviderType, find_target, unserved_shape
from aigw.providers.types import ANTHROPIC, BEDROCK, COPILOT, OPENAI, TYPES
from aigw.secrets import Secret
from aigw.wire.apis import Api

CANARY = "sk-canary-provider-3c1d7e9a42"

INTERCEPTED = [
    (OPENAI, "/v1/chat/completions", Api.CHAT_COMPLETIONS),
    (OPENAI, "/v1/responses", Api.RESPONSES),
    (OPENAI, "/v1/responses/compact", Api.RESPONSES),
    (ANTHROPIC, "/v1/messages", Api.MESSAGES),
    (BEDROCK, "/v1/messages", Api.MESSAGES),
    (COPILOT, "/chat/completions", Api.CHAT_COMPLETIONS),
    (COPILOT, "/responses", Api.RESPONSES),
    (COPILOT, "/v1/messages", Api.MESSAGES),
]
NAMED = [
    # The path names the model; the record's route does not.
    ("/model/{}/invoke", "anthropic.claude-3-v1%3A0", "anthropic.claude-3-v1:0", Api.INVOKE),
    ("/model/{}/invoke", "anthropic.claude-3-v1:0", "anthropic.claude-3-v1:0", Api.INVOKE),
    ("/model/{}/invoke-with-response-stream", "m", "m", Api.INVOKE),
    ("/model/{}/converse", "arn%3Aaws%3Abedrock%3A%2Fx", "arn:aws:bedrock:/x", Api.CONVERSE),
    ("/model/{}/converse-stream", "amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0", Api.CONVERSE),
]
PASSED = [
    (OPENAI, "/v1/models", "/models"),
    (OPENAI, "/v1/models/gpt-5", "/models/*"),
    (OPENAI, "/v1/models/ft:gpt-5:org::id", "/models/*"),
    (OPENAI, "/v1/models/a%20name", "/models/*"),
    (OPENAI, "/v1/models/..hidden", "/models/*"),
    (OPENAI, "/v1/models/vendor%2Fname", "/models/*"),
    (OPENAI, "/v1/conversations", "/conversations"),
    (OPENAI, "/v1/conversations/conv_1/items", "/conversations/*"),
    (OPENAI, "/v1/responses/resp_1", "/responses/*"),
    (OPENAI, "/v1/responses/resp_1/cancel", "/responses/*"),
    (OPENAI, "/v1/responses/input_tokens", "/responses/*"),
    (ANTHROPIC, "/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    (ANTHROPIC, "/v1/models", "/v1/models"),
    (ANTHROPIC, "/v1/models/claude-opus-4-5", "/v1/models/*"),
    (ANTHROPIC, "/api/event_logging/batch", "/api/event_logging/*"),
    (ANTHROPIC, "/api/event_logging/v2/batch", "/api/event_logging/*"),
    (BEDROCK, "/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    (BEDROCK, "/v1/models", "/v1/models"),
    (BEDROCK, "/v1/models/x", "/v1/models/*"),
    (BEDROCK, "/api/event_logging/batch", "/api/event_logging/*"),
    (BEDROCK, "/model/m/count-tokens", "/model/*/count-tokens"),
    (COPILOT, "/models", "/models"),
    (COPILOT, "/models/session", "/models/*"),
    (COPILOT, "/agents/swe/models", "/agents/*"),
    (COPILOT, "/mcp", "/mcp"),
    (COPILOT, "/mcp/readonly", "/mcp/*"),
    (COPILOT, "/.well-known/oauth", "/.well-known/*"),
    (COPILOT, "/embeddings", "/*"),
]
REFUSED = [
    # Not on the list: a central key may be able to do much more than ask models.
    (OPENAI, ""),
    (OPENAI, "/"),
    (OPENAI, "/v1"),
    (OPENAI, "/v1/"),
    (OPENAI, "/models"),
    (OPENAI, "/chat/completions"),
    (OPENAI, "/v1/completions"),
    (OPENAI, "/v1/embeddings"),
    (OPENAI, "/v1/files"),
    (OPENAI, "/v1/organization/admin_api_keys"),
    (OPENAI, "/v1/modelsx"),
    (OPENAI, "/v11/models"),
    (OPENAI, "/V1/models"),
    (OPENAI, "/v1/Models"),
    (OPENAI, "/v1v1/models"),
    (OPENAI, "v1/models"),
    (OPENAI, "/v1/messages"),
    (ANTHROPIC, "/v1/complete"),
    (ANTHROPIC, "/v1/messages/batches"),
    (ANTHROPIC, "/v1/files"),
    (ANTHROPIC, "/v1/organizations/me"),
    (ANTHROPIC, "/v1/responses"),
    (ANTHROPIC, "/api/event_logging"),
    (ANTHROPIC, "/api/other"),
    # A slash at the end is another path.
    (OPENAI, "/v1/models/"),
    (OPENAI, "/v1/responses/"),
    (OPENAI, "/v1/chat/completions/"),
    (ANTHROPIC, "/v1/messages/"),
    (ANTHROPIC, "/v1/messages/count_tokens/"),
    (ANTHROPIC, "/api/event_logging/"),
    # What a provider could read as a path that is not on the list.
    (OPENAI, "/v1/models/../files"),
    (OPENAI, "/v1/models/.."),
    (OPENAI, "/v1/models/."),
    (OPENAI, "/v1/models/./x"),
    (OPENAI, "/v1/models/x/../../files"),
    (OPENAI, "/v1/models/%2e%2e/files"),
    (OPENAI, "/v1/models/%2E%2E/files"),
    (OPENAI, "/v1/models/.%2e/files"),
    (OPENAI, "/v1/models/..%2ffiles"),
    (OPENAI, "/v1/models/..%2Ffiles"),
    (OPENAI, "/v1/models/..%5cfiles"),
    (OPENAI, "/v1/models/..%5Cfiles"),
    (OPENAI, "/v1/models/..\\files"),
    (OPENAI, "/v1/models//files"),
    (OPENAI, "/v1/models/x//y"),
    (OPENAI, "/v1//models"),
    (OPENAI, "//v1/models"),
    (OPENAI, "/v1/models/x%00"),
    (OPENAI, "/v1/models/..;/files"),
    (OPENAI, "/v1/models/..;x=1/files"),
    (OPENAI, "/v1/models/%2e%2e%3b/files"),
    (OPENAI, "/v1/models/%252e%252e/files"),
    (OPENAI, "/v1/models/x%2f%2e%2e%2f%2e%2e%2ffiles"),
    (OPENAI, "/v1/models/%2Ffiles"),
    (OPENAI, "/v1/%6dodels"),
    (OPENAI, "/v1/chat%2fcompletions"),
    (OPENAI, "/v1/../v1/chat/completions"),
    (ANTHROPIC, "/v1/messages/../complete"),
    (ANTHROPIC, "/v1/models/../messages/batches"),
    (ANTHROPIC, "/api/event_logging/../oauth/token"),
    (ANTHROPIC, "/api/event_logging/%2e%2e/oauth/token"),
    # What a provider could read as a path that is recorded.
    (COPILOT, "/chat/completions#x"),
    (COPILOT, "/chat/completions;x"),
    (COPILOT, "/chat/completions%20"),
    (COPILOT, "/chat/completions%23"),
    (COPILOT, "/v1/chat/completions"),
    (OPENAI, "/v1/responses/#"),
    (OPENAI, "/v1/models/a%0db"),
    (COPILOT, "/chat/completions/"),
    (COPILOT, "/chat%2Fcompletions"),
    (COPILOT, "/%63hat/completions"),
    (COPILOT, "/Chat/Completions"),
    (COPILOT, "/v1%2fmessages"),
    (COPILOT, "/v1/../responses"),
    (COPILOT, "/chat/./completions"),
    (BEDROCK, "/model/m/%69nvoke"),
    (BEDROCK, "/model/m/invoke/"),
    (BEDROCK, "/model/m/async-invoke"),
    (BEDROCK, "/model//invoke"),
    (BEDROCK, "/model/../invoke"),
    (BEDROCK, "/model/a/b/invoke"),
    (BEDROCK, "/guardrail/x/version/1/apply"),
]


@pytest.mark.parametrize(("kind", "path", "api"), INTERCEPTED)
def test_intercepted(kind: ProviderType, path: str, api: Api) -> None:
    target = find_target(kind, path)
    assert target is not None
    assert target.api is api
    assert target.route == path
    assert kind.prefix + target.path == path
    # A metric's label: from the list, not from the client.
    assert target.pattern in kind.intercepted


@pytest.mark.parametrize(("path", "name", "model", "api"), NAMED)
def test_paths_that_name_a_model(path: str, name: str, model: str, api: Api) -> None:
    target = find_target(BEDROCK, path.format(name))
    assert target is not None
    assert (target.api, target.model, target.shape) == (api, model, ErrorShape.AWS)
    assert target.route == target.pattern == path.format("*")
    assert target.path == path.format(name)


@pytest.mark.parametrize(("kind", "path", "pattern"), PASSED)
def test_passed(kind: ProviderType, path: str, pattern: str) -> None:
    target = find_target(kind, path)
    assert target is not None
    assert target.api is None
    assert target.route == path
    assert kind.prefix + target.path == path
    assert target.pattern == pattern
    assert pattern in kind.passed


@pytest.mark.parametrize(("kind", "path"), REFUSED)
def test_refused(kind: ProviderType, path: str) -> None:
    assert find_target(kind, path) is None


def test_every_entry_of_the_lists_has_a_case() -> None:
    for kind in (OPENAI, ANTHROPIC, BEDROCK, COPILOT):
        intercepted = {
            path.removeprefix(kind.prefix) for one, path, _ in INTERCEPTED if one is kind
        }
        named = {path.format("*") for path, *_ in NAMED} if kind is BEDROCK else set()
        assert intercepted | named == set(kind.intercepted)
        assert {pattern for one, _, pattern in PASSED if one is kind} == set(kind.passed)


# Client's path -> what the provider sees, for base URLs with and without a path. OpenAI's `/v1` is
# part of its base URL, Anthropic's part of the route.
JOINED = [
    (OPENAI, "https://api.openai.com/v1", "/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
    (OPENAI, "https://api.openai.com/v1", "/v1/conversations", "https://api.openai.com/v1/conversations"),
    (OPENAI, "http://h/api", "/v1/chat/completions", "http://h/api/chat/completions"),
    (OPENAI, "http://h", "/v1/responses", "http://h/responses"),
    (ANTHROPIC, "https://api.anthropic.com", "/v1/messages", "https://api.anthropic.com/v1/messages"),
    (ANTHROPIC, "http://h/api", "/v1/messages", "http://h/api/v1/messages"),
    (ANTHROPIC, "http://h/v1", "/v1/models", "http://h/v1/v1/models"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "base", "path", "url"), JOINED)
def test_base_urls_are_joined(kind: ProviderType, base: str, path: str, url: str) -> None:
    target = find_target(kind, path)
    assert target is not None
    assert Provider(kind, kind.name, base).base_url + target.path == url


def test_a_provider_does_not_show_its_key() -> None:
    provider = Provider(
        OPENAI,
        "openai",
        "https://api.openai.com/v1",
        KeyPool([ApiKey(Secret(CANARY), OPENAI.key_header)]),
    )
    for text in (repr(provider), str(provider), f"{provider}", repr([provider])):
        assert CANARY not in text
        assert "sk-c...9a42" in text


def test_families_are_named_like_types() -> None:
    # `store.filters` goes by it: any other name can only be a configured one.
    assert {kind.family for kind in TYPES.values()} <= PROVIDER_TYPES.keys()


def test_the_configuration_knows_the_same_types() -> None:
    assert set(PROVIDER_TYPES) == set(TYPES)
    for name, facts in PROVIDER_TYPES.items():
        assert TYPES[name].base_url == facts.base_url
        assert TYPES[name].is_personal == facts.is_personal


@pytest.mark.parametrize(
    ("kind", "path", "shape"),
    [
        ("bedrock", "/async-invoke", ErrorShape.AWS),
        ("bedrock", "/guardrail/x/version/1/apply", ErrorShape.AWS),
        ("bedrock", "/model/anthropic.x/other", ErrorShape.AWS),
        ("bedrock", "/v1/complete", ErrorShape.ANTHROPIC),
        ("bedrock", "/api/other", ErrorShape.ANTHROPIC),
        ("bedrock", "/", ErrorShape.ANTHROPIC),
        ("anthropic", "/async-invoke", ErrorShape.ANTHROPIC),
        ("openai", "/v1/files", ErrorShape.OPENAI),
    ],
)
def test_errors_of_paths_that_are_not_served(kind: str, path: str, shape: ErrorShape) -> None:
    assert unserved_shape(TYPES[kind], path) is shape
