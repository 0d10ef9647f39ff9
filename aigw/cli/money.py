"""Amounts of money as text: micro-dollars (millionths of a US dollar) in, dollars out."""

from __future__ import annotations

MICROS = 1_000_000
"""Micro-dollars in a dollar."""

CENTS = 2
FINE = 4
"""Digits after the point: of a sum, and of what a single request costs."""


def dollars(micros: int, digits: int = CENTS) -> str:
    """An amount for a person, rounded half up. What is not nothing never looks like nothing.

    >>> dollars(1_234_567_890), dollars(3_000), dollars(0), dollars(3_000, FINE)
    ('$1,234.57', '<$0.01', '$0.00', '$0.0030')
    """
    if micros < 0:
        return f"-{dollars(-micros, digits)}"
    scale = 10**digits
    units = (2 * micros * scale + MICROS) // (2 * MICROS)
    if micros and not units:
        return f"<$0.{1:0{digits}d}"
    return f"${units // scale:,}.{units % scale:0{digits}d}"


def exact_dollars(micros: int) -> str:
    """An amount for a program: all six digits, nothing rounded, no sign of the currency.

    >>> exact_dollars(12_500_000)
    '12.500000'
    """
    sign = "-" if micros < 0 else ""
    return f"{sign}{abs(micros) // MICROS}.{abs(micros) % MICROS:06d}"
