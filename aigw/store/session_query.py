"""What a reader of the list of sessions asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions, and which page of them. Times are in microseconds.

    Names match without regard to case; `*` stands for any text with `wildcards`, for a star without.

    Attributes:
        owner: the initiator, letter by letter, whose sessions alone may be seen; None: everybody's.
        any_provider: a provider's family or its configured name.
        provider: a provider's family alone (`openai`).
        provider_name: a provider's configured name alone.
        status: an interception's, `running` while it has not ended.
        text: words that a prompt, tool input, tool result or thought of the session holds.
        started_after: sessions that began then or later.
        started_before: sessions that began then or earlier.
        active_since: sessions that were active then or later.
        active_until: sessions that began before.
        after_session_id: the id of the session that the page before ended with.
        after_active_at: when that session had been active last, as that page showed it. Without
            it the session's place now is gone on from, which changes while it is active.
        is_counted: whether the sessions on all pages are counted, which may take longer than a page.
    """

    owner: str | None = None
    initiator: str | None = None
    any_provider: str | None = None
    provider: str | None = None
    provider_name: str | None = None
    model: str | None = None
    client: str | None = None
    session_id: str | None = None
    status: str | None = None
    text: str | None = None
    started_after: int | None = None
    started_before: int | None = None
    active_since: int | None = None
    active_until: int | None = None
    wildcards: bool = False
    after_session_id: str | None = None
    after_active_at: int | None = None
    offset: int = 0
    limit: int = 100
    is_counted: bool = True
