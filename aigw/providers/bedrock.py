"""Amazon Bedrock: where requests go, how they are signed, and what stands between the two APIs."""

from __future__ import annotations

from typing import NamedTuple

from aigw.provider_settings import BedrockSettings


class Endpoint(NamedTuple):
    """Where Bedrock is."""

    region: str
    runtime_url: str
    mantle_url: str


class Bedrock:
    """One configured way to Bedrock."""

    def __init__(self, settings: BedrockSettings) -> None:
        self.settings = settings
        runtime = f"https://bedrock-runtime.{settings.region}.amazonaws.com"
        mantle = f"https://bedrock-mantle.{settings.region}.api.aws"
        self.endpoint = Endpoint(settings.region, settings.base_url or runtime, mantle)

    @property
    def is_mantle(self) -> bool:
        """Whether Messages requests go to Mantle."""
        return self.settings.protocol == "mantle"
