"""What a HAR file shows of credentials: a mask in headers and URLs, and wherever else they recur.

Header and query names say where a credential is. Its value is then looked for in all other text of
the same exchange too: a provider may quote a key in its error, a client may put it in its prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_plus

from aigw.secrets import mask

_REQUEST_HEADERS = frozenset(
    {
        "api-key",
        "authorization",
        "coder-session-token",
        "cookie",
        "proxy-authorization",
        "x-amz-security-token",
        "x-api-key",
        "x-auth-token",
        "x-coder-ai-governance-token",
        "x-goog-api-key",
    }
)
_RESPONSE_HEADERS = frozenset({"proxy-authenticate", "set-cookie", "www-authenticate"})

# Operators add headers of their own (`CF-Access-Client-Secret`, `Helicone-Auth`): a mask too many
# costs nobody anything.
_SOUNDS_SECRET = re.compile(r"api[-_]?key|[-_]key$|auth|credential|password|secret|token", re.ASCII)

_QUERY = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "code",
        "key",
        "sig",
        "signature",
        "subscription-key",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-signature",
    }
)

_SCHEMES = frozenset({"apikey", "basic", "bearer", "digest", "key", "negotiate", "token"})
_AWS_SCHEME = "aws4-"
# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-elements.html
_AWS_PART = re.compile(r"\b(Credential|Signature)=([^/,\s]+)", re.IGNORECASE)

_GATEWAY_KEY = "aigw_"

SHORTEST_REPLACED = 8
"""Characters of the shortest credential that is replaced in bodies. A shorter one is a placeholder
such as `none` or `ollama`, and replacing it would garble the very text that a dump is read for."""

_SHORTEST_CUT = 2
"""Characters of a credential, at the end of a cut body, from which on they are taken away."""


_PLAIN_HEADERS = frozenset(
    {
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "user-agent",
    }
)
"""Headers that are shown although the operator set them: what they hold is no credential."""


class Masking:
    """Masks one exchange. First every request is shown to `learn`, then text is asked for.

    `own_headers` are names of headers that the operator has set: a credential may be in each.
    """

    def __init__(self, own_headers: Iterable[str] = ()) -> None:
        self._own = frozenset(name.lower() for name in own_headers) - _PLAIN_HEADERS
        self._secrets: set[str] = set()
        self._pairs: list[tuple[str, str]] | None = None

    def learn(self, url: str, headers: Iterable[tuple[str, str]]) -> None:
        """Note the credentials that a request carries."""
        self._pairs = None
        for name, value in headers:
            self._secrets.update(self._mask_header(name, value)[1])
        self._secrets.update(_mask_url(url)[1])

    def request_headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """A request's headers, fit to show."""
        return [(name, self.text(self._mask_header(name, value)[0])) for name, value in headers]

    def response_headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """An answer's headers, fit to show."""
        return [(name, self.text(_mask_response_header(name, value))) for name, value in headers]

    def url(self, url: str) -> str:
        """A URL, fit to show."""
        return self.text(_mask_url(url)[0])

    def text(self, text: str) -> str:
        """Any text with the known credentials replaced."""
        for secret, shown in self._replacements():
            if secret in text:
                text = text.replace(secret, shown)
        return text

    def data(self, data: bytes, *, is_cut: bool) -> bytes:
        """A body with the known credentials replaced. A cut one may end within a credential."""
        for secret, shown in self._replacements():
            data = data.replace(_octets(secret), _octets(shown))
        if is_cut:
            for secret, _ in self._replacements():
                data = _without_beginning(data, _octets(secret))
        return data

    def _mask_header(self, name: str, value: str) -> tuple[str, list[str]]:
        shown, secrets = _mask_header(name, value)
        if not secrets and name.lower() in self._own:
            return mask(value.strip()), [value.strip()]
        return shown, secrets

    def _replacements(self) -> list[tuple[str, str]]:
        """Each credential in the forms that text may hold it in; longer ones first."""
        if self._pairs is None:
            pairs = {}
            for secret in self._secrets:
                if len(secret) >= SHORTEST_REPLACED:
                    shown = mask(secret)
                    pairs[secret] = shown
                    pairs[json.dumps(secret)[1:-1]] = json.dumps(shown)[1:-1]
                    pairs[quote(secret, safe="", errors="replace")] = quote(
                        shown, safe="", errors="replace"
                    )
            self._pairs = sorted(pairs.items(), key=lambda pair: len(pair[0]), reverse=True)
        return self._pairs


def _mask_header(name: str, value: str) -> tuple[str, list[str]]:
    """A request header's value, fit to show, and the credentials in it."""
    lowered = name.lower()
    if lowered in {"authorization", "proxy-authorization"}:
        return _mask_authorization(value.strip())
    if lowered == "cookie":
        return mask(value), [pair.partition("=")[2].strip() for pair in value.split(";")]
    if lowered in _REQUEST_HEADERS or _SOUNDS_SECRET.search(lowered) or _GATEWAY_KEY in value:
        # Some carry a scheme as Authorization does.
        return mask(value.strip()), [value.strip(), *value.split()]
    return value, []


def _mask_authorization(value: str) -> tuple[str, list[str]]:
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if scheme.lower().startswith(_AWS_SCHEME):
        secrets = [match[2] for match in _AWS_PART.finditer(value)]
        return _AWS_PART.sub(lambda match: f"{match[1]}={mask(match[2])}", value), secrets
    if not token or scheme.lower() not in _SCHEMES:
        return mask(value), [value]
    if scheme.lower() == "basic":
        # The ends of the mask would decode to those of a name and a password.
        return f"{scheme} ...", [token]
    return f"{scheme} {mask(token)}", [token]


def _mask_response_header(name: str, value: str) -> str:
    lowered = name.lower()
    if lowered in _RESPONSE_HEADERS or _GATEWAY_KEY in value:
        return mask(value)
    if lowered in {"location", "content-location"}:
        return _mask_url(value)[0]
    return value


def _mask_url(url: str) -> tuple[str, list[str]]:
    """A URL without the password and the credentials of its query, and what these were."""
    secrets: list[str] = []
    rest, question, query = url.partition("?")
    parts = [_mask_parameter(part, secrets) for part in query.split("&")]
    scheme, slashes, behind = rest.partition("://")
    authority, slash, path = behind.partition("/")
    user, at, host = authority.rpartition("@")
    if at:
        secrets.append(user.partition(":")[2])
        rest = f"{scheme}{slashes}...@{host}{slash}{path}"
    return rest + question + "&".join(parts), secrets


def _mask_parameter(part: str, secrets: list[str]) -> str:
    name, equals, value = part.partition("=")
    if not equals or unquote_plus(name).lower() not in _QUERY:
        return part
    plain = unquote_plus(value)
    secrets += [value, plain]
    return f"{name}={quote(mask(plain), errors='replace')}"


def _without_beginning(data: bytes, secret: bytes) -> bytes:
    """Data that ends with a beginning of the secret, without that."""
    for length in range(len(secret) - 1, _SHORTEST_CUT - 1, -1):
        if data.endswith(secret[:length]):
            return data[:-length]
    return data


def _octets(text: str) -> bytes:
    # Header bytes that are not UTF-8 came in as lone surrogates, and went out as what they were.
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
