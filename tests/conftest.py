"""What holds for every test: no variable of the developer's shell steers what is tested."""

from __future__ import annotations

import os

_STEERING = ("CODER_", "AIGW_", "OPENAI_", "ANTHROPIC_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

for _name in list(os.environ):
    if _name.startswith(_STEERING) or _name.upper() in _PROXIES:
        del os.environ[_name]
