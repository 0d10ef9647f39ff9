"""Reading JSON that may be anything: typed and partial when it is well formed, tolerant when not.

The fast way is msgspec with a struct that names only the fields a rule needs; the rest of a body is
skipped without being built. Where that fails (a field of an unexpected type, NaN, a lone surrogate,
a BOM, UTF-16, invalid UTF-8) the standard library reads what it can and the struct is filled from
that, so that one odd field loses no other.
"""

from __future__ import annotations

import json
import math
import types
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_COUNT = 2**40
"""Counts are clamped to this: a trillion tokens in one answer is no count, and millions of such
answers still add up within SQLite's integers."""

_STANDARD = ("standard", "default", "auto", "global", "not_available")
"""What the providers call the usual class of service, and the usual place (any)."""

_NAME_LIMIT = 64
"""Characters of such a name. It is recorded with every answer, and real ones have about ten."""

_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DIGITS_OF_INT64 = 19
_UNFIT = object()

T = TypeVar("T", bound=msgspec.Struct)


class Shape(Generic[T]):
    """Reads JSON objects into one struct type whose fields all have defaults.

    Fields may be typed `Any`, `msgspec.Raw`, a struct, a list of these, or a union of these.
    """

    __slots__ = ("_decode", "_kind")

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, data: bytes | msgspec.Raw) -> T | None:
        """The struct, or None when the data is not a JSON object. Never raises."""
        try:
            return self._decode(data)
        except _BROKEN:
            return self._read_slowly(bytes(data))

    def _read_slowly(self, data: bytes) -> T | None:
        value = parse(data)
        if not isinstance(value, dict):
            return None
        try:
            return _filled(self._kind, value)
        except RecursionError:
            return None


def parse(data: bytes) -> Any:
    """The value of any JSON text that Python can make sense of; None when it cannot."""
    try:
        return _PARSER.decode(decoded(data))
    except (ValueError, RecursionError):
        return None


def decoded(data: bytes) -> str:
    """A JSON text that may be of UTF-16 or UTF-32, or begin with a byte order mark."""
    return data.decode(json.detect_encoding(data), "replace").removeprefix("\ufeff")


def _integer(digits: str) -> int | float | None:
    # int() of thousands of digits is quadratic, and refused by Python beyond 4300.
    return int(digits) if len(digits) <= _DIGITS_OF_INT64 else _float(digits)


def _float(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _constant(_name: str) -> None:
    """NaN and the infinities have no JSON form to be stored as."""


_PARSER = json.JSONDecoder(
    strict=False, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    return tuple((f.name, f.encode_name, f.type) for f in msgspec.structs.fields(kind))


def _filled(kind: type[T], value: dict[str, Any]) -> T:
    found: dict[str, Any] = {}
    for name, key, hint in _fields(kind):
        if key in value:
            fitted = _fit(value[key], hint)
            if fitted is not _UNFIT:
                found[name] = fitted
    return kind(**found)


def _fit(value: Any, hint: Any) -> Any:
    """The value as the type hint wants it, or `_UNFIT`."""
    if hint is Any:
        return value
    if hint is msgspec.Raw:
        return msgspec.Raw(json.dumps(value).encode())
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        fits = _fits((value, option) for option in get_args(hint))
        return fits[0] if fits else _UNFIT
    if origin is list:
        items = value if isinstance(value, list) else None
        return _UNFIT if items is None else _fits((item, get_args(hint)[0]) for item in items)
    if isinstance(value, dict) and issubclass(hint, msgspec.Struct):
        return _filled(hint, value)
    return value if isinstance(value, hint) else _UNFIT


def _fits(pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
    fits = (_fit(value, hint) for value, hint in pairs)
    return [fit for fit in fits if fit is not _UNFIT]


def clean(text: str) -> str:
    """The text with surrogate pairs joined, lone surrogates and NULs replaced: it can be stored as UTF-8.

    A service that cuts text by UTF-16 units streams an emoji as two escaped halves. SQLite takes a NUL
    for the end of a text in most of its functions: what stands after it would have no length.
    """
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def text_of(value: Any) -> str:
    """The value if it is a string, fit to be stored; else the empty string."""
    if not isinstance(value, str):
        return ""
    return clean(value)


def count_of(value: Any) -> int | None:
    """A count clamped to 0..MAX_COUNT; None when the value is no number (a bool is none)."""
    if type(value) is not int:
        if not isinstance(value, float) or not math.isfinite(value):
            return None
        value = int(value)
    count: int = value
    return 0 if count < 0 else min(count, MAX_COUNT)


def bound_of(*values: Any) -> int | None:
    """The first of these that bounds an answer's tokens; `-1` and null are some services' "no bound"."""
    return next((value for value in values if type(value) is int and 0 <= value <= MAX_COUNT), None)


def tier_of(value: Any) -> str:
    """A class of service other than the standard one; empty for that, and for what is no name."""
    if not value or value in _STANDARD:
        return ""
    name = text_of(value).strip()
    return "" if name in _STANDARD or len(name) > _NAME_LIMIT or not name.isprintable() else name


def dict_of(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object; else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The value if it is a JSON array; else an empty one."""
    return value if isinstance(value, list) else []


def json_text(value: Any) -> str:
    """Compact JSON text of a decoded value, fit to be stored."""
    try:
        return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (ValueError, RecursionError):
        return "null"


def arguments_text(arguments: str) -> str:
    """A tool call's arguments as JSON text, as the model wrote them.

    No arguments are `{}`; what is not JSON (a call that was cut off) becomes a JSON string.
    """
    if not arguments or arguments.isspace():
        return "{}"
    arguments = clean(arguments)
    return arguments if _is_json(arguments) else json_text(arguments)


def _is_json(text: str) -> bool:
    try:
        _RAW.decode(text)
    except _BROKEN:
        return _is_json_to_python(text)
    return True


def _is_json_to_python(text: str) -> bool:
    """Lone surrogate escapes are JSON to the standard library, not to msgspec. NaN is no JSON."""
    try:
        json.loads(text, parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(name)


_RAW = msgspec.json.Decoder(msgspec.Raw)
