"""What an answer to a probe, or the lack of one, says is wrong. Tables and words; no I/O.

The words name no secret: URLs are left out but for their host, and a provider's own message is
repeated only after the caller's `clean` has had it.
"""

from __future__ import annotations

import errno
import json
import ssl
from typing import Any, NamedTuple

import aiohttp

from aigw.errors import UpstreamError


class Verdict(NamedTuple):
    """`problem` is a fixed word for programs, empty when all is well; `message` is for a person."""

    problem: str
    message: str


class Answer(NamedTuple):
    """What a provider sent: its status, the kind of its body, and the beginning of that."""

    status: int
    content_type: str
    body: bytes


# OpenSSL's X509_V_ERR_* (https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/).
_CERTIFICATES = {
    9: ("tls_expired", "its certificate is not valid yet: check this machine's clock"),
    10: ("tls_expired", "its certificate has expired"),
    18: ("tls_untrusted", "its certificate is self-signed and not trusted by this machine"),
    19: ("tls_untrusted", "its certificate is signed by an authority this machine does not trust"),
    20: ("tls_untrusted", "its certificate is signed by an authority this machine does not trust"),
    21: ("tls_untrusted", "its certificate is signed by an authority this machine does not trust"),
    62: ("tls_name", "its certificate is for another host name"),
    64: ("tls_name", "its certificate is for another host name, not for this address"),
}

_SUCCESS = 2
_BAD_REQUEST = 400
_FORBIDDEN = 403
_NOT_FOUND = 404
_RATE_LIMITED = 429
_KEY_ERRORS = frozenset({401, _FORBIDDEN, _RATE_LIMITED})

_NO_ANSWER = {
    "upstream_timeout": "timeout",
    "upstream_tls": "tls",
    "upstream_proxy": "proxy",
    "upstream_unreachable": "unreachable",
}
"""The problem for each kind of `UpstreamError` of which nothing more is known."""


def verdict_of_fault(host: str, error: UpstreamError) -> Verdict:
    """Why there was no answer from `host`."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return Verdict(
            "dns", f"the host name of {host} cannot be resolved: check the base URL, and DNS"
        )
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return _certificate(host, cause.certificate_error)
    if isinstance(cause, aiohttp.ClientSSLError):
        return Verdict("tls", f"{error}. Does it speak https on this port?")
    number = getattr(getattr(cause, "os_error", None), "errno", None)
    if number == errno.ECONNREFUSED:
        return Verdict("refused", f"nothing listens at {host}: the connection was refused")
    return Verdict(_NO_ANSWER.get(error.kind, error.kind), str(error))


def _certificate(host: str, error: Exception) -> Verdict:
    code = getattr(error, "verify_code", None)
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    problem, words = _CERTIFICATES.get(
        code or 0, ("tls_untrusted", f"its certificate is refused: {reason or error}")
    )
    return Verdict(problem, f"TLS with {host} failed: {words}")


def verdict_of_answer(answer: Answer, *, has_key: bool, subject: str) -> Verdict:
    """What an answer says. `subject` is the model that was asked, with its place; empty for none."""
    said = message_of(answer)
    told = f" ({answer.status})" + (f": {said}" if said else "")
    if answer.status in _KEY_ERRORS or (answer.status == _BAD_REQUEST and _of_a_key(said)):
        return _refused_key(answer.status, told, has_key=has_key, subject=subject)
    if answer.status // 100 == _SUCCESS and isinstance(_json(answer), dict):
        return Verdict("", f"{subject} answers" if subject else "the provider answers")
    match answer.status // 100:
        case 3:
            problem, words = "base_url", "the base URL is wrong: it leads to another address"
        case 4 if subject and said:
            problem, words = "model", f"{subject} is not served"
        case 4 if said and answer.status != _NOT_FOUND:
            problem, words = "request", "the provider refuses the request"
        case 2 | 4:
            return _not_the_api(answer)
        case _:
            problem, words = "provider_error", "the provider fails"
    return Verdict(problem, words + told)


def _of_a_key(said: str) -> bool:
    """Whether a message is about the key: Google answers 400 to a wrong one."""
    return "api key" in said.lower()


def _refused_key(status: int, told: str, *, has_key: bool, subject: str) -> Verdict:
    if status == _RATE_LIMITED:
        whose = "the key is" if has_key else "this address is"
        return Verdict("rate_limited", f"{whose} rate limited, or has no credit left{told}")
    if not has_key:
        return Verdict("", "reachable; there is no central key: clients send their own")
    word = "refused, or not allowed to do this" if status == _FORBIDDEN else "refused"
    place = f" for {subject}" if subject else ""
    return Verdict("key_refused", f"the key is {word}{place}{told}")


def _not_the_api(answer: Answer) -> Verdict:
    what = "a web page" if "html" in answer.content_type.lower() else "nothing of the API"
    return Verdict(
        "base_url", f"the base URL is wrong: there is {what} at this address ({answer.status})"
    )


def message_of(answer: Answer) -> str:
    """The message in an error of any of the APIs; empty when there is none."""
    value = _json(answer)
    if isinstance(value, list) and value:  # Google wraps its errors in a list
        value = value[0]
    if not isinstance(value, dict):
        return ""
    error = value.get("error", value)
    found: Any = error
    if isinstance(error, dict):
        found = error.get("message", error.get("Message"))
    return " ".join(found.split()) if isinstance(found, str) else ""


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
