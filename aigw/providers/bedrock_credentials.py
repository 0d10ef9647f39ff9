"""AWS credentials, and the signatures made with them."""

from __future__ import annotations

from aigw.provider_settings import BedrockSettings
from aigw.providers.call import CentralCredential


def aws_credentials(settings: BedrockSettings) -> list[CentralCredential]:
    """The operator's ways to be authorised at AWS."""
    del settings
    return []
