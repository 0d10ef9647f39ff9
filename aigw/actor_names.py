"""The names of the headers that tell providers who asks."""

from __future__ import annotations

ACTOR_PREFIX = "x-ai-bridge-actor"
"""What such headers begin with (lower case). A client may not send any, so a proxy behind the
gateway can rely on them; other names below it belong to Coder."""

ACTOR_NAMES = ("X-AI-Bridge-Actor-ID", "X-AI-Bridge-Actor-Metadata-Username")
"""The names below the prefix that Coder's gateway sends, and the defaults here."""


def is_reserved_actor_name(name: str) -> bool:
    """Whether a header lies below the prefix without being one of the two known ones."""
    lowered = name.lower()
    known = {known.lower() for known in ACTOR_NAMES}
    return lowered.replace("_", "-").startswith(ACTOR_PREFIX) and lowered not in known


def actor_header_problems(id_header: str, username_header: str, email_header: str) -> list[str]:
    """What is wrong with the three names together, each a line for a person; empty where all is well.

    That each by itself may be used is `option_values.read_header`'s business.
    """
    owners: dict[str, str] = {}
    problems = []
    for option, name in (
        ("--aibridge-actor-header-id", id_header),
        ("--aibridge-actor-header-username", username_header),
        ("--aibridge-actor-header-email", email_header),
    ):
        owner = owners.setdefault(name.lower(), option)
        if name and owner != option:
            problems.append(
                f"{option}: {name!r} is the header of {owner} already: give each another name, or "
                "leave one empty"
            )
    return problems
