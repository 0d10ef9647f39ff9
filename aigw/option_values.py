"""How each kind of option value is read from text or from a configuration file, and shown again.

Every reader takes what a flag or variable (text) or a file (text, number, boolean) can hold, and
raises ValueError with a message that says what is allowed.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aigw.actor_names import is_reserved_actor_name
from aigw.durations import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

# Go's strconv.ParseBool (https://pkg.go.dev/strconv#ParseBool), and the words of YAML 1.1.
_TRUE = frozenset({"1", "t", "true", "yes", "y", "on"})
_FALSE = frozenset({"0", "f", "false", "no", "n", "off"})

_SIZES = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?", re.ASCII)
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds. An empty host means every interface, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than `localhost` is not trusted."""
        if self.host.rstrip(".").lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_bool(value: object) -> bool:
    """True or False from a boolean or one of the usual words."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"{shown(value)} is not a switch: use true or false")


def read_string(value: object) -> str:
    """Text as it is."""
    if isinstance(value, str):
        return value
    problem = f"{shown(value)} is not text: put it in quotes"
    raise ValueError(problem)


def read_int(value: object) -> int:
    """A whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value, re.ASCII):
        return int(value)
    raise ValueError(f"{shown(value)} is not a whole number")


def read_duration(value: object) -> timedelta:
    """A duration that is not negative."""
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, str):
        duration = parse_duration(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        duration = parse_duration(str(value))
    else:
        raise ValueError(f"{shown(value)} is not a duration: write it as text, for example 60d")  # noqa: TRY004 - every reader raises ValueError
    if duration < timedelta(0):
        raise ValueError(f"{shown(value)} is negative")
    return duration


def read_size(value: object) -> int:
    """A number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _SIZES:
        raise ValueError(
            f"{shown(value)} is not a size: use bytes or KB, MB, GB (thousands), "
            "KiB, MiB, GiB (1024s), for example 64MiB"
        )
    scale = _SIZES[match[2].lower()]
    size = Fraction(match[1]) * scale
    return int(size)


def read_address(value: object) -> Address:
    """A listening address as `HOST:PORT`, `[::1]:PORT` or `:PORT`."""
    if isinstance(value, Address):
        return value
    text = value.strip() if isinstance(value, str) else ""
    problem = f"{shown(value)} is not an address: use HOST:PORT, for example 127.0.0.1:4001"
    if "://" in text:
        raise ValueError(f"{problem} (without http://)")
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > _HIGHEST_PORT:
        raise ValueError(f"{problem}; the port is 0 to {_HIGHEST_PORT}")
    if ":" in host:
        if not (host.startswith("[") and host.endswith("]")):
            raise ValueError(f"{problem}; an IPv6 host stands in brackets, as [::1]:{port}")
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{problem}; {host!r} is not an IPv6 address") from None
    elif host and not _HOST_NAME.fullmatch(host):
        raise ValueError(problem)
    return Address(host, int(port))


def read_url(value: object) -> str:
    """A provider's base URL, as written. Its query and credentials have no meaning and are refused."""
    text = value.strip() if isinstance(value, str) else ""
    allowed = "use http:// or https://, a host and a path, for example https://api.openai.com/v1/"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"this is not a URL: {allowed}") from None
    # The text is not repeated: what stands before an @ may be a password.
    if parts.username is not None or parts.password is not None:
        raise ValueError("a base URL holds no user or password; set the provider's key instead")
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(f"{shown(value)} is not a base URL: {allowed}")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError(
            f"{shown(text.split('?')[0].split('#')[0])} is followed by a query or "
            f"fragment, which a base URL does not have: {allowed}"
        )
    if re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise ValueError(f"{shown(value)} has a space, control character or backslash: {allowed}")
    return text


def read_path(value: object) -> Path:
    """A path with `~` expanded. Relative ones are left for the caller to anchor."""
    if isinstance(value, Path):
        return value
    text = read_string(value)
    if not text.strip() or "\0" in text:
        raise ValueError(f"{shown(value)} is not a path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{shown(value)}: {error}") from None


def read_output(value: object) -> str:
    """Where log lines go: a file's path, `/dev/stderr`, `/dev/stdout`, or empty for nowhere."""
    text = str(value) if isinstance(value, Path) else read_string(value)
    return text if text in ("", *STANDARD_OUTPUTS) else str(read_path(text))


STANDARD_OUTPUTS = ("/dev/stderr", "/dev/stdout")
"""Names of the process's own streams, understood on every system."""


def read_regex(value: object) -> str:
    """A regular expression, still as text."""
    text = read_string(value)
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{shown(value)} is not a regular expression: {error}") from None
    return text


def read_header(value: object) -> str:
    """The name of a request header that may be set, or empty for none."""
    text = read_string(value).strip()
    if text and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text, re.ASCII):
        raise ValueError(f"{shown(value)} is not the name of a header (RFC 9110, section 5.1)")
    lowered = text.lower()
    if (
        lowered in RESERVED_HEADERS
        or lowered.startswith(_RESERVED_PREFIXES)
        or is_reserved_actor_name(text)
    ):
        raise ValueError(f"{shown(value)} is reserved: choose another header")
    return text


RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "api-key",
        "authorization",
        "coder-session-token",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-ai-bridge-request-id",
        "x-api-key",
        "x-auth-token",
        "x-goog-api-key",
        "x-real-ip",
    }
)
"""Headers that carry credentials, cookies, framing or the way a request took (lower case)."""

_RESERVED_PREFIXES = ("proxy-", "x-forwarded-", "x-amz-", "x-coder-", "coder-", "sec-")


def read_list(value: object) -> tuple[str, ...]:
    """Several texts: a list in a file, separated by commas elsewhere."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ValueError(f"{shown(value)} is not a list of texts")


def read_mapping(value: object) -> dict[str, str]:
    """Texts by name, in order: a table in a file, `A=b,C=d` elsewhere."""
    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        # The text is not repeated: what stands behind a header's name may be secret.
        if not all(name.strip() and equals for name, equals, _ in pairs):
            raise ValueError("this is not a list of pairs: use NAME=VALUE,NAME=VALUE")
        names = [name.strip() for name, _, _ in pairs]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{shown(min(twice))} is given twice")
        return {name.strip(): text.strip() for name, _, text in pairs}
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not a table of names with their texts")  # noqa: TRY004 - every reader raises ValueError
    wrong = [name for name, text in value.items() if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"the value of {shown(str(wrong[0]))} is not text: put it in quotes")
    return {str(name): text for name, text in value.items()}


def read_percents(value: object) -> tuple[int, ...]:
    """Percentages in ascending order: numbers in a file, separated by commas elsewhere."""
    given = [value] if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(given, str):
        given = [item.strip() for item in given.split(",") if item.strip()]
    if given == ["none"] or not given:
        return ()
    problem = f"{shown(value)} is not a list of percentages: use whole numbers, for example 85,100"
    if not isinstance(given, (list, tuple)):
        raise ValueError(problem)  # noqa: TRY004 - every reader raises ValueError
    texts = [str(item) for item in given]
    if not all(re.fullmatch(r"[1-9]\d{0,2}", text, re.ASCII) for text in texts):
        raise ValueError(f"{problem}, each from 1 to 999, or none")
    if len(set(texts)) > MOST_PERCENTS:
        raise ValueError(f"at most {MOST_PERCENTS} percentages can be given")
    return tuple(sorted({int(text) for text in texts}))


MOST_PERCENTS = 10
"""Each may be a label of a metric and a message to a person."""


def read_command(value: object) -> str:
    """A command line, still as text. No shell will read it."""
    text = read_string(value)
    try:
        command_words(text)
    except ValueError as error:
        raise ValueError(f"{shown(value)} cannot be split into words: {error}") from None
    return text


def command_words(text: str) -> tuple[str, ...]:
    """A command line's words.

    Raises:
        ValueError: a quote is open.
    """
    # Backslashes separate folders on Windows, where shlex would eat them.
    return tuple(shlex.split(text, posix=os.name != "nt"))


READERS: dict[str, Callable[[object], Any]] = {
    "bool": read_bool,
    "string": read_string,
    "int": read_int,
    "duration": read_duration,
    "size": read_size,
    "address": read_address,
    "url": read_url,
    "path": read_path,
    "output": read_output,
    "regex": read_regex,
    "list": read_list,
    "mapping": read_mapping,
    "header": read_header,
    "percents": read_percents,
    "command": read_command,
}
"""By an option's kind."""


def shown(value: object) -> str:
    """A value as an error message repeats it: quoted, and never a whole list or table."""
    if isinstance(value, str):
        longest = 80
        return repr(value if len(value) <= longest else value[:longest] + "...")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    return str(value)


def text_of(value: object) -> str:
    """A value in the form that its reader takes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={text}" for name, text in value.items())
    return "" if value is None else str(value)


def format_size(size: int) -> str:
    """Bytes with the largest binary unit that leaves a whole number, as `64MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        scale = _SIZES[unit.lower()]
        if size and size % scale == 0:
            return f"{size // scale}{unit}"
    return str(size)


def anchored(path: Path, folder: Path) -> Path:
    """An absolute path; relative ones count from `folder`."""
    return Path(os.path.normpath(folder / path))
