"""`aigw serve`: settle the settings, then run the gateway."""

from __future__ import annotations

import os

from aigw.cli import messages
from aigw.cli.option_flags import with_option_flags
from aigw.errors import ConfigError
from aigw.options import BY_NAME
from aigw.settings import resolve


@with_option_flags
def serve(*, flags: dict[str, str]) -> int:
    """Run the gateway until it is stopped.

    Each option is also an environment variable and a key of the configuration file; a flag counts
    before a variable, a variable before the file. Switches take =true and =false.
    """
    settings = resolve(flags, os.environ)
    for warning in settings.warnings:
        messages.warn(warning)
    if not settings.enabled:
        option = BY_NAME["enabled"]
        raise ConfigError(
            "the AI gateway is not enabled. "
            f"Give {option.flag}, or set {option.variable}=true, or the key {option.key} to true "
            "in the configuration file."
        )
    from aigw.cli.serve import serve as run_gateway

    return run_gateway(settings, lambda: resolve(flags, os.environ))
