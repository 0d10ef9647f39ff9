"""Where Bedrock is: the region, the two endpoints, and the name that each is signed for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from aigw.errors import ConfigError
from aigw.provider_settings import BedrockSettings
from aigw.provider_types import aws_domain

# `bedrock-runtime.us-east-1.amazonaws.com`, FIPS, VPC endpoints, `bedrock-mantle.<region>.api.aws`.
_HOST_REGION = re.compile(
    r"(?:^|\.)bedrock-(?:runtime|mantle)(?:-fips)?\.([a-z]+(?:-[a-z]+)+-\d+)\."
)
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

INSTALL_HINT = (
    "Amazon Bedrock needs botocore: install aigw with its extra, as in pip install '.[bedrock]'"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """URLs without trailing slash; `region` is never empty."""

    region: str
    runtime_url: str
    mantle_url: str

    def service(self, url: str) -> str:
        """The service that a request to this URL is signed for."""
        return "bedrock-mantle" if url.startswith(f"{self.mantle_url}/v1/") else "bedrock"


def endpoint_of(settings: BedrockSettings) -> Endpoint:
    """The endpoint of a configuration. Its region: as set, else the URL's own, else AWS's.

    Raises:
        ConfigError: there is no region, or what is given is none.
    """
    base_url = _plain_url(settings.base_url)
    region = settings.region or _region_of(base_url) or _aws_region(settings.profile)
    if not region:
        raise ConfigError(
            "Bedrock: no region: set --aibridge-bedrock-region (a provider's `bedrock_region`), AWS_REGION, "
            "or a region in the AWS profile"
        )
    if not _REGION.fullmatch(region):
        raise ConfigError(f"Bedrock: {region!r} is not an AWS region (such as us-east-1)")
    runtime = f"https://bedrock-runtime.{region}.{aws_domain(region)}"
    mantle = f"https://bedrock-mantle.{region}.api.aws/anthropic"
    if settings.protocol == "mantle":
        return Endpoint(region, runtime, base_url or mantle)
    return Endpoint(region, base_url or runtime, mantle)


def _plain_url(url: str) -> str:
    """The URL as it is signed: host in lower case, no port that the scheme implies, no last slash."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (reading it is the check)
    except ValueError as error:
        raise ConfigError(f"Bedrock: the base URL is not a URL: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ConfigError("Bedrock: the base URL must begin with https:// or http:// and a host")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError("Bedrock: the base URL may have a path, but no user, query or fragment")
    authority = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{authority}{parts.path}".rstrip("/")


def _region_of(url: str) -> str:
    found = _HOST_REGION.search(urlsplit(url).hostname or "") if url else None
    return found[1] if found else ""


def _aws_region(profile: str) -> str:
    """AWS's own choice, in the order of its command line: the environment before the profile."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        return region
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 (an extra, and slow to import)
        from botocore.session import Session  # noqa: PLC0415
    except ImportError:
        return ""
    try:
        return Session(profile=profile or None).get_config_variable("region") or ""
    except BotoCoreError as error:
        raise ConfigError(f"Bedrock: the AWS configuration cannot be read: {error}") from None
