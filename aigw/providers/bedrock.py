"""Amazon Bedrock: where requests go, how they are signed, and what stands between the two APIs."""

from __future__ import annotations

from aigw.provider_settings import BedrockSettings


class Bedrock:
    """One configured way to Bedrock."""

    def __init__(self, settings: BedrockSettings) -> None:
        self.settings = settings
