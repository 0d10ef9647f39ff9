"""aigw: a local AI gateway that relays untouched and records everything."""

__version__ = "0.1.0"
