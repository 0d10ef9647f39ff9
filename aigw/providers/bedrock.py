"""Amazon Bedrock: where requests go, and what stands between its API and Anthropic's.

Three ways lead there: Messages requests translated to InvokeModel, the same unchanged to Mantle,
and requests of clients that speak Bedrock's own API, of which only the signature is made anew.
None of these is authorised yet: that is the credential's part (`bedrock_signing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from multidict import CIMultiDict

from aigw.provider_settings import BedrockSettings
from aigw.providers import bedrock_answers
from aigw.providers.bedrock_answers import LocalAnswer
from aigw.providers.bedrock_endpoint import Endpoint, endpoint_of
from aigw.providers.bedrock_models import ModelChoice, choose_model, counted_model, family_of
from aigw.providers.bedrock_request import (
    EVENT_STREAM,
    count_body,
    invoke_body,
    passed_headers,
    unsigned_headers,
)
from aigw.providers.bedrock_table import MANTLE_HEADERS, PASSED_HEADERS
from aigw.providers.call import Call

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class BedrockRequest:
    """A request for Bedrock. `model` is the one asked, `rule` what chose it (see `ModelChoice`)."""

    url: str
    body: bytes
    headers: CIMultiDict[str]
    model: str
    rule: str | None

    def call(self) -> Call:
        """The request as it is sent, still without credential."""
        return Call("POST", self.url, self.headers, self.body)


class Bedrock:
    """One configured way to Bedrock.

    Raises:
        ConfigError: there is no region, or the base URL is none.
    """

    def __init__(self, settings: BedrockSettings) -> None:
        self.settings = settings
        self.endpoint: Endpoint = endpoint_of(settings)

    def __repr__(self) -> str:
        return f"Bedrock({self.endpoint.region}, {self.settings.protocol})"

    @property
    def runtime_url(self) -> str:
        """Where InvokeModel and Converse are, without trailing slash."""
        return self.endpoint.runtime_url

    @property
    def is_mantle(self) -> bool:
        """Whether Messages requests go to Mantle, whose answers need no translation."""
        return self.settings.protocol == "mantle"

    def choose(self, requested: str) -> ModelChoice:
        """The model for a requested name. Mantle has the names of its own, and gets them unchanged."""
        if self.is_mantle:
            return ModelChoice(requested, None)
        return choose_model(self.settings, requested)

    def translate(
        self,
        body: bytes,
        headers: CIMultiDict[str],
        model: str,
        *,
        streaming: bool,
        query: str = "",
    ) -> BedrockRequest:
        """A request of `/v1/messages` for Bedrock. `body` is uncompressed, `model` the one it names.

        Raises:
            ValueError: the body is not a JSON object; the message is fit for the client.
        """
        if self.is_mantle:
            return self._to_mantle("/v1/messages", body, headers, model, query)
        choice = self.choose(model)
        operation = "invoke-with-response-stream" if streaming else "invoke"
        return BedrockRequest(
            self._model_url(choice.model, operation),
            self._invoke_body(body, headers, choice.model, model),
            _made_headers(headers, EVENT_STREAM if streaming else _JSON),
            *choice,
        )

    def translate_count(
        self, body: bytes, headers: CIMultiDict[str], model: str, query: str = ""
    ) -> BedrockRequest:
        """A request of `/v1/messages/count_tokens`; `count_answer` translates what comes back.

        Raises:
            ValueError: the body is not a JSON object, or the model is one of whose tokens Bedrock
                gives no count; the message is fit for the client.
        """
        if self.is_mantle:
            return self._to_mantle("/v1/messages/count_tokens", body, headers, model, query)
        choice = self.choose(model)
        counted = counted_model(choice.model)
        if counted is None:
            raise ValueError(
                f"Bedrock counts tokens for foundation models only, and {choice.model} does not "
                "name its model"
            )
        return BedrockRequest(
            self._model_url(counted, "count-tokens"),
            count_body(self._invoke_body(body, headers, choice.model, model)),
            _made_headers(headers, _JSON),
            *choice,
        )

    def count_answer(self, status: int, body: bytes) -> LocalAnswer:
        """What a client of count_tokens gets for Bedrock's (uncompressed) answer."""
        if self.is_mantle:
            return LocalAnswer(status, body)
        return bedrock_answers.count_answer(status, body)

    def local_answer(self, path: str) -> LocalAnswer | None:
        """The gateway's answer to a raw path that Bedrock does not have; None where it is asked."""
        return bedrock_answers.local_answer(self.settings, path)

    def resign(self, call: Call) -> Call:
        """The request of a client that speaks Bedrock's own API, freed of its authorisation.

        `url` is the raw path and query after the provider's name. The path stays as it is encoded,
        the body as it is.
        """
        path, _, query = call.url.partition("?")
        url = self.runtime_url + path + _plain_query(query)
        return Call(call.method, url, unsigned_headers(call.headers), call.body)

    def _to_mantle(
        self, path: str, body: bytes, headers: CIMultiDict[str], model: str, query: str
    ) -> BedrockRequest:
        url = self.endpoint.mantle_url + path + _plain_query(query)
        return BedrockRequest(url, body, passed_headers(headers, MANTLE_HEADERS), model, None)

    def _invoke_body(
        self, body: bytes, headers: CIMultiDict[str], model: str, requested: str
    ) -> bytes:
        family = family_of(model, requested)
        return invoke_body(body, headers, family, pass_unknown=self.settings.pass_unknown)

    def _model_url(self, model: str, operation: str) -> str:
        return f"{self.runtime_url}/model/{quote(model, safe='')}/{operation}"


def _made_headers(headers: CIMultiDict[str], accept: str) -> CIMultiDict[str]:
    # An answer that has to be read and translated comes uncompressed.
    return passed_headers(
        headers, PASSED_HEADERS, content_type=_JSON, accept=accept, accept_encoding="identity"
    )


def _plain_query(query: str) -> str:
    """A query as it is signed, with its `?`: each part encoded as AWS does, no presigned ones."""
    pairs = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if not unquote(name).lower().startswith("x-amz-"):
            pairs.append(f"{_encoded(name)}={_encoded(value)}")
    return "?" + "&".join(pairs) if pairs else ""


def _encoded(text: str) -> str:
    return quote(unquote(text, errors="surrogateescape"), safe="-_.~", errors="surrogateescape")
