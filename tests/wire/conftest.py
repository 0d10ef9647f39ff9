"""Property tests: no deadline (a loaded machine is no failure) and no example files in the tree."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("wire", deadline=None, database=None)
settings.load_profile("wire")
