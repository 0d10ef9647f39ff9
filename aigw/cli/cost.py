"""`aigw cost`: what was spent each day, and on which models."""

from __future__ import annotations

from aigw.cli.usage import (
    DEFAULT_BY,
    DEFAULT_SINCE,
    By,
    Csv,
    Db,
    Json,
    Since,
    Timezone,
    Until,
    report,
)


def cost(
    by: By = None,
    since: Since = DEFAULT_SINCE,
    until: Until = None,
    timezone: Timezone = None,
    json: Json = False,
    csv: Csv = False,
    db: Db = None,
) -> None:
    """Show what each day has cost, with its models beneath.

    It is `aigw usage` with the model as the last --by, and money first.
    """
    from aigw.cli.usage_table import COST

    wanted = [name for name in by or DEFAULT_BY if name != "model"]
    report([*wanted, "model"], since, until, timezone, json=json, csv=csv, db=db, layout=COST)
