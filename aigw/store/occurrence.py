"""Whether requests of some names occur at all, told by the sums: soon, where the records take long.

`interceptions` has no index by names. `usage_quarters` has one row for each quarter of an hour and
kind of request, so few to look through; what is not in it yet (see `rollup`) is looked up by `end_seq`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.store.rollup import rolled_seq

if TYPE_CHECKING:
    import sqlite3

    from aigw.store.filters import Condition


def occurs(
    connection: sqlite3.Connection, on_quarter: Condition, on_interception: Condition
) -> bool:
    """Whether there may be such an interception; False is certain.

    Args:
        connection: reads.
        on_quarter: what a row of `usage_quarters`, alias `q`, must fulfil; empty tells nothing.
        on_interception: what the interception, alias `i`, must fulfil.
    """
    where, values = on_quarter
    if not where:
        return True
    # From the newest on: names in use now are found at once.
    in_sums = f"SELECT 1 FROM usage_quarters AS q WHERE {where} ORDER BY quarter DESC LIMIT 1"  # noqa: S608
    if connection.execute(in_sums, values).fetchone():
        return True
    where, values = on_interception
    after_sums = (
        f"SELECT 1 FROM interceptions AS i WHERE i.end_seq > ? AND {where}"  # noqa: S608
        f" UNION ALL SELECT 1 FROM interceptions AS i WHERE i.end_seq IS NULL AND {where} LIMIT 1"
    )
    row = connection.execute(after_sums, [rolled_seq(connection), *values, *values]).fetchone()
    return row is not None
