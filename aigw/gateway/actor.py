"""Telling providers who asks, in headers; and keeping clients from telling it themselves."""

from __future__ import annotations

import re
from urllib.parse import quote

from multidict import CIMultiDict

from aigw.actor_names import ACTOR_PREFIX

_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
"""Visible ASCII, but for the sign of the encoding itself."""


class ActorHeaders:
    """The headers for an initiator's id, name and e-mail address; an empty name: not sent.

    Args:
        id_header: for the id.
        username_header: for the name.
        email_header: for the address.
        send: whether any is sent. A client's own are removed all the same: a proxy behind the
            gateway may trust these names whatever this gateway is set to.
    """

    def __init__(
        self, id_header: str, username_header: str, email_header: str, *, send: bool
    ) -> None:
        self._names = (id_header, username_header, email_header) if send else ()
        self._own = frozenset(
            _as_variable(name) for name in (id_header, username_header, email_header) if name
        )
        marks = {ACTOR_PREFIX, *(n for n in self._own if not n.startswith(ACTOR_PREFIX))}
        self._any_of_them = re.compile("|".join(map(re.escape, sorted(marks))))

    def apply(
        self, headers: CIMultiDict[str], initiator_id: str, username: str = "", email: str = ""
    ) -> None:
        """Remove a client's own such headers, and set those that are to be sent, in place.

        An empty value sends no header. A value holds visible ASCII only: everything else, and `%`,
        is percent-encoded as UTF-8 (RFC 3986 section 2.1), so that it can neither begin another
        header nor be lost on the way. A URL decoder gives the value back.
        """
        # All names in one look: nearly no request has any of these, and every one is looked at.
        if self._any_of_them.search(_as_variable("\n".join(headers))):
            for name in [name for name in headers if self._is_own(name)]:
                headers.popall(name, None)
        for name, value in zip(self._names, (initiator_id, username, email), strict=False):
            if name and value:
                headers[name] = _encoded(value)

    def _is_own(self, name: str) -> bool:
        lowered = _as_variable(name)
        return lowered.startswith(ACTOR_PREFIX) or lowered in self._own


def _as_variable(name: str) -> str:
    """A header's name as CGI and WSGI servers compare it: `_` and `-` are one to them."""
    return name.lower().replace("_", "-")


def _encoded(value: str) -> str:
    return quote(value, safe=_PLAIN, errors="replace")
