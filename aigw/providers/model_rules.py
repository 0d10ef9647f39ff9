"""Which models of a provider may be asked for, and under which names.

An alias is applied first, once (aliases do not lead to aliases), and the rules then judge the model
that the provider is asked for. So the name of an alias need not be allowed itself, and a denied
model may be the name of an alias for another one: that is how requests for it are led elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from aigw.errors import AigwError
from aigw.patterns import matches
from aigw.wire.lenient import decoded
from aigw.wire.members import members

_SHOWN = 100
"""Characters of a client's model name that a message repeats: no provider has longer ones."""


class ModelRefusedError(AigwError):
    """A rule refuses the model. `status` and `kind` are those of OpenAI's and Anthropic's APIs."""

    def __init__(self, model: str, rule: str) -> None:
        shown = model if len(model) <= _SHOWN else f"{model[:_SHOWN]}..."
        super().__init__(f"the model {shown!r} is refused: {rule}" if model else rule)
        self.model = model
        self.rule = rule
        self.status = 404 if model else 400
        self.kind = "model_not_found" if model else "model_not_named"


class Choice(NamedTuple):
    """The model that the provider is asked for; `rule` names what put it there, None if nothing."""

    model: str
    rule: str | None


@dataclass(frozen=True, slots=True)
class ModelRules:
    """Patterns in which `*` stands for any text, and other names for models; all ignore case.

    Attributes:
        allow: patterns of which a model must match one; empty allows all.
        deny: patterns of which it must match none; counts before `allow`.
        aliases: requested model to the one that is asked for instead.
        provider: the configured name, for messages.
    """

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    provider: str = ""
    _aliases: dict[str, tuple[str, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folded = {_fold(name): (name, model) for name, model in self.aliases.items()}
        object.__setattr__(self, "_aliases", folded)

    @property
    def needs_single_model(self) -> bool:
        """Whether the request must name its model in exactly one way (see `names_one_model`)."""
        return bool(self.allow or self.deny or self.aliases)

    def choose(self, model: str) -> Choice:
        """The model to ask for. `model` is the client's, empty when its request names none.

        Raises:
            ModelRefusedError: a rule refuses it, or there are rules and no model to judge.
        """
        name, alias = self._aliases.get(_fold(model), ("", ""))
        rule = f'alias "{name}" = "{alias}"' if alias else None
        self._judge(alias or model)
        return Choice(alias or model, rule)

    def judge_mapped(self, model: str) -> None:
        """See that a name which a provider's own table leads to is not denied.

        Raises:
            ModelRefusedError: it is.
        """
        for pattern in self.deny:
            if matches(_fold(pattern), _fold(model)):
                raise ModelRefusedError(
                    model, f'{self._named()} denies models matching "{pattern}"'
                )

    def _judge(self, model: str) -> None:
        if not (self.allow or self.deny):
            return
        folded = _fold(model)
        if not folded:
            raise ModelRefusedError(
                "", f"the request names no model that the rules of {self._named()} could allow"
            )
        self.judge_mapped(model)
        if self.allow and not any(matches(_fold(pattern), folded) for pattern in self.allow):
            raise ModelRefusedError(model, f"{self._named()} allows only: {', '.join(self.allow)}")

    def _named(self) -> str:
        return f"provider {self.provider}" if self.provider else "the provider"


def names_one_model(body: bytes) -> bool:
    """Whether a request's JSON has no second `model` that another parser could prefer.

    Of two members with one name most parsers take the last, some the first; Go's ignore the case of
    names, so `Model` counts too. True for what is no JSON object: there no model can be read
    either. False for one whose members cannot be told. A long body takes a while: see
    `gateway.body.read_aside`.
    """
    start = len(body) - len(body.lstrip(_SPACE))
    if body[start : start + 1] != b"{":
        # A mark or another encoding before the object: its model is read, so it is judged too.
        body = decoded(body).encode("utf-8", "replace")
        start = len(body) - len(body.lstrip(_SPACE))
        if body[start : start + 1] != b"{":
            return True
    try:
        if not _ESCAPED.search(body):
            # Quick, as the tools of agents have a `model` somewhere: all there are, but those
            # within the values. Of two members with one name the first is not taken off.
            values = _VALUES.decode(body).values()
            named = _count(body)
            if named <= 1 or named - sum(map(_count, values)) <= 1:
                return True
        return sum(member.key.casefold() == "model" for member in members(body, start)) <= 1
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False


_SPACE = b" \t\r\n"

# No string holds a plain quote, so these are names of members, wherever in the body.
_NAME = re.compile(rb'"[mM][oO][dD][eE][lL]"[ \t\r\n]*:')
# The letters of the name, written as escapes.
_ESCAPED = re.compile(rb"\\u00[46][4-5c-fC-F]")
_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _count(text: bytes | msgspec.Raw) -> int:
    return len(_NAME.findall(text))


def _fold(name: str) -> str:
    return name.strip().casefold()
