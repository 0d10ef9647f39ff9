"""Whether everything was recorded: counted in the database at the moment the last answer is in.

The gateway is still running and is given no time: what it has not committed by now is missing.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.payloads import LARGE, Workload
from benchmarks.report import Row
from benchmarks.servers import ROOT, Server, clean_environment

if TYPE_CHECKING:
    from benchmarks.load import Target

_COUNTS = {
    "interceptions": "SELECT count(*) FROM interceptions",
    "ends": "SELECT count(*) FROM interceptions WHERE status = 'completed' AND ended_at IS NOT NULL",
    "token usages": "SELECT count(*) FROM token_usages",
    "prompts": "SELECT count(*) FROM user_prompts",
    "tool calls": "SELECT count(*) FROM tool_usages",
    # Every prompt has the word `ticket`. A search reads the index up to indexed_seq and the rest
    # from the tables, so both together are what is found.
    "searchable prompts": """
        SELECT (SELECT count(*) FROM search WHERE search MATCH 'ticket')
             + (SELECT count(*) FROM user_prompts
                WHERE seq > coalesce((SELECT value FROM meta WHERE key = 'indexed_seq'), 0))
    """,
}


async def recorded_row(part: str, workload: Workload, server: Server, target: Target) -> Row:
    """Compare the records with the requests sent, of which all were answered."""
    assert server.database is not None
    connection = sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)
    try:
        # One transaction: the index goes on meanwhile, and the two halves of a search must agree.
        connection.execute("BEGIN")
        found = {name: connection.execute(sql).fetchone()[0] for name, sql in _COUNTS.items()}
    finally:
        connection.close()
    expected = dict.fromkeys(_COUNTS, target.sent)
    if workload is not LARGE:
        expected["tool calls"] = 0
    problems = [f"{found[n]} {n} for {expected[n]}" for n in _COUNTS if found[n] != expected[n]]
    last = f"{target.sent - 1:08d}"
    hits = await asyncio.to_thread(_search, str(server.database), last)
    if hits != 1:
        problems.append(f"`aigw logs -q {last}` finds {hits} records")
    return Row(
        part=part,
        name="  all of them committed and searchable",
        unit="interceptions",
        aigw=found["interceptions"],
        target=f"= {target.sent:,} sent",
        passed=not problems,
        note="; ".join(problems),
    )


def _search(database: str, word: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "aigw", "logs", "-q", word, "--json", "-n", "0", "--db", database],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return len(done.stdout.splitlines())
