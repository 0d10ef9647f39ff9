"""AWS Signature Version 4, checked as AWS does: over the bytes of the request as they arrived.

Written from AWS's description ("Create a signed AWS API request"), with nothing of botocore's: two
mistakes that agree would prove nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulator.wire import Received

ACCESS_KEY = "AKIASIMULATOR0000001"
SECRET_KEY = "sim/secret+key/0123456789abcdefghijklmno"
TEMPORARY_KEY = "ASIASIMULATOR0000002"
TEMPORARY_SECRET = "sim/temporary+secret/0123456789abcdefghi"
SESSION_TOKEN = "sim-session-token//0123456789=="
BEARER_TOKEN = "bedrock-api-key-simulator"

KEYS: dict[str, tuple[str, str]] = {
    ACCESS_KEY: (SECRET_KEY, ""),
    TEMPORARY_KEY: (TEMPORARY_SECRET, SESSION_TOKEN),
}
"""Secret and session token by access key id. Tests may add to it."""

_SKEW = timedelta(minutes=5)
_FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;_-]+), ?Signature=([0-9a-f]{64})"
)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True)
class Signed:
    """Who signed a request, and for what."""

    access_key: str
    region: str
    service: str


class RefusedError(Exception):
    """A request that AWS would refuse with 403: `kind` is the error type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check(request: Received, service: str) -> Signed:
    """Who signed the request. A Bedrock API key counts as signature, as at AWS.

    Raises:
        RefusedError: as AWS would say it.
    """
    authorization = request.values("authorization")
    if len(authorization) != 1:
        raise RefusedError("MissingAuthenticationTokenException", "Missing Authentication Token")
    if authorization[0] == f"Bearer {BEARER_TOKEN}":
        return Signed("bearer", "", service)
    found = _FORM.fullmatch(authorization[0])
    if found is None:
        raise RefusedError("IncompleteSignatureException", "Authorization header is malformed.")
    key, day, region, named_service, signed, signature = found.groups()
    secret = _secret_of(request, key)
    if named_service != service:
        message = f"Credential should be scoped to correct service: '{service}'."
        raise RefusedError("InvalidSignatureException", message)
    moment = _moment(request, day)
    names = signed.split(";")
    _check_names(request, names)
    canonical = canonical_request(request, names)
    scope = f"{day}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    expected = hmac.new(
        _signing_key(secret, day, region, service), to_sign.encode(), hashlib.sha256
    ).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise RefusedError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details.",
        )
    return Signed(key, region, service)


def canonical_request(request: Received, names: list[str]) -> bytes:
    """The request as it is hashed. The path is encoded once more than on the wire."""
    target = request.target.encode("latin-1")
    path, _, query = target.partition(b"?")
    headers = "".join(
        f"{name}:{','.join(' '.join(value.split()) for value in request.values(name))}\n"
        for name in names
    )
    payload = request.value("x-amz-content-sha256") or hashlib.sha256(request.body).hexdigest()
    parts = [
        request.method.encode(),
        _encoded(path, keep_slash=True),
        _canonical_query(query),
        headers.encode("latin-1"),
        ";".join(names).encode(),
        payload.encode(),
    ]
    return b"\n".join(parts)


def _secret_of(request: Received, key: str) -> str:
    secret, token = KEYS.get(key, ("", ""))
    if not secret or (request.value("x-amz-security-token") or "") != token:
        message = "The security token included in the request is invalid."
        raise RefusedError("UnrecognizedClientException", message)
    return secret


def _moment(request: Received, day: str) -> str:
    moment = request.value("x-amz-date") or ""
    try:
        sent = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise RefusedError("IncompleteSignatureException", "Date is missing.") from None
    if abs(datetime.now(UTC) - sent) > _SKEW or not moment.startswith(day):
        raise RefusedError("InvalidSignatureException", f"Signature expired: {moment}")
    return moment


def _check_names(request: Received, names: list[str]) -> None:
    if names != sorted(names) or "host" not in names:
        raise RefusedError("InvalidSignatureException", "'Host' must be a 'SignedHeader'.")
    for header, _ in request.headers:
        name = header.decode("latin-1").lower()
        if name.startswith("x-amz-") and name not in names:
            message = f"There were headers present which were not signed: {name}"
            raise RefusedError("AccessDeniedException", message)
    body = hashlib.sha256(request.body).hexdigest()
    if (request.value("x-amz-content-sha256") or body) != body:
        raise RefusedError("InvalidSignatureException", "x-amz-content-sha256 does not match.")


def _canonical_query(query: bytes) -> bytes:
    pairs = []
    for part in filter(None, query.split(b"&")):
        name, _, value = part.partition(b"=")
        pairs.append((_encoded(_decoded(name)), _encoded(_decoded(value))))
    return b"&".join(name + b"=" + value for name, value in sorted(pairs))


def _decoded(text: bytes) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text)


def _encoded(text: bytes, *, keep_slash: bool = False) -> bytes:
    kept = _UNRESERVED | {0x2F} if keep_slash else _UNRESERVED
    return b"".join(bytes([byte]) if byte in kept else b"%%%02X" % byte for byte in text)


def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
