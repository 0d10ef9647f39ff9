"""How the tables came to be: the scripts that `schema.migrate` runs, in order.

None is edited after a release: a change is a new one at the end. docs/schema.md explains every table.
"""

from __future__ import annotations

_VERSION_1 = """
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE interceptions (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  started_at INTEGER NOT NULL,
  initiator_id TEXT NOT NULL,
  api_key_id TEXT,
  provider TEXT NOT NULL,
  provider_name TEXT NOT NULL,
  route TEXT NOT NULL,
  model TEXT NOT NULL,
  client TEXT NOT NULL,
  client_session_id TEXT,
  correlating_tool_call_id TEXT,
  credential_kind TEXT NOT NULL,
  credential_hint TEXT NOT NULL,
  metadata TEXT NOT NULL,
  end_seq INTEGER,
  ended_at INTEGER,
  status TEXT,
  status_code INTEGER,
  error_type TEXT,
  error_message TEXT,
  duration_ms INTEGER,
  time_to_first_byte_ms INTEGER,
  streaming INTEGER,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cache_read_input_tokens INTEGER,
  cache_write_input_tokens INTEGER,
  reasoning_tokens INTEGER
);
CREATE INDEX interceptions_started_at ON interceptions (started_at);
CREATE INDEX interceptions_end_seq ON interceptions (end_seq);
CREATE INDEX interceptions_session ON interceptions (client_session_id)
  WHERE client_session_id IS NOT NULL;

CREATE TABLE token_usages (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  msg_id TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_input_tokens INTEGER NOT NULL,
  cache_write_input_tokens INTEGER NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX token_usages_interception ON token_usages (interception_seq);

CREATE TABLE user_prompts (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  msg_id TEXT NOT NULL,
  prompt TEXT NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX user_prompts_interception ON user_prompts (interception_seq);

CREATE TABLE tool_usages (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  msg_id TEXT NOT NULL,
  tool_call_id TEXT NOT NULL,
  item_id TEXT NOT NULL,
  tool TEXT NOT NULL,
  input TEXT NOT NULL,
  server_url TEXT,
  injected INTEGER NOT NULL,
  invocation_error TEXT,
  metadata TEXT NOT NULL
);
CREATE INDEX tool_usages_interception ON tool_usages (interception_seq);

CREATE TABLE tool_results (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  tool_call_id TEXT NOT NULL,
  is_error INTEGER NOT NULL,
  size INTEGER NOT NULL,
  content TEXT NOT NULL,
  truncated INTEGER NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX tool_results_interception ON tool_results (interception_seq);

CREATE TABLE model_thoughts (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  content TEXT NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX model_thoughts_interception ON model_thoughts (interception_seq);

CREATE VIRTUAL TABLE search USING fts5 (text, content = '', tokenize = 'unicode61');
-- Merging segments less often halves the cost of indexing; queries stay far below a millisecond.
INSERT INTO search (search, rank) VALUES ('automerge', 16);
"""

_VERSION_2 = """
ALTER TABLE interceptions ADD COLUMN requested_model TEXT;
ALTER TABLE interceptions ADD COLUMN model_rule TEXT;
ALTER TABLE interceptions ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE interceptions ADD COLUMN served_hint TEXT;

CREATE TABLE gateway_keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  user TEXT NOT NULL,
  secret_hash BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER,
  revoked_at INTEGER,
  providers TEXT NOT NULL,
  models TEXT NOT NULL,
  rate_limit INTEGER,
  max_concurrency INTEGER,
  is_admin INTEGER NOT NULL
) WITHOUT ROWID;
"""

_VERSION_3 = """
ALTER TABLE interceptions ADD COLUMN session_seq INTEGER;
ALTER TABLE interceptions ADD COLUMN thread_seq INTEGER;
ALTER TABLE interceptions ADD COLUMN parent_seq INTEGER;
ALTER TABLE interceptions ADD COLUMN agent_id TEXT;
ALTER TABLE interceptions ADD COLUMN parent_agent_id TEXT;
ALTER TABLE interceptions ADD COLUMN parent_session_id TEXT;
ALTER TABLE interceptions ADD COLUMN plan TEXT;
ALTER TABLE interceptions ADD COLUMN cost_micros INTEGER;
ALTER TABLE interceptions ADD COLUMN unpriced INTEGER;
ALTER TABLE interceptions ADD COLUMN estimated INTEGER;
ALTER TABLE interceptions ADD COLUMN context_window INTEGER;

ALTER TABLE token_usages ADD COLUMN cost_micros INTEGER;
ALTER TABLE token_usages ADD COLUMN cost_basis TEXT NOT NULL DEFAULT 'unpriced';
ALTER TABLE token_usages ADD COLUMN price_source TEXT NOT NULL DEFAULT '';

CREATE TABLE sessions (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  initiator_id TEXT NOT NULL,
  parent_id TEXT,
  started_at INTEGER NOT NULL,
  last_active_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX sessions_id ON sessions (id, initiator_id);
CREATE INDEX sessions_last_active ON sessions (last_active_at);
CREATE INDEX sessions_parent ON sessions (parent_id) WHERE parent_id IS NOT NULL;

-- Merging segments of the index inside a commit took up to seconds in a big store. Now the upkeep does
-- it in small steps (search.merge_step); the last resort is far away.
INSERT INTO search (search, rank) VALUES ('automerge', 0);
INSERT INTO search (search, rank) VALUES ('usermerge', 16);
INSERT INTO search (search, rank) VALUES ('crisismerge', 256);

-- All time zones are whole quarters of an hour away from UTC, so days of any zone are sums of these.
CREATE TABLE usage_quarters (
  quarter INTEGER NOT NULL,
  provider_name TEXT NOT NULL,
  model TEXT NOT NULL,
  client TEXT NOT NULL,
  initiator_id TEXT NOT NULL,
  api_key_id TEXT NOT NULL,
  plan TEXT NOT NULL,
  requests INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cache_read_input_tokens INTEGER NOT NULL,
  cache_write_input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  aborted INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL,
  unpriced INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  PRIMARY KEY (quarter, provider_name, model, client, initiator_id, api_key_id, plan)
) WITHOUT ROWID;

CREATE TABLE model_prices (
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  input_price INTEGER,
  output_price INTEGER,
  cache_read_price INTEGER,
  cache_write_price INTEGER,
  cache_write_1h_price INTEGER,
  source TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (provider, model)
) WITHOUT ROWID;

CREATE TABLE budgets (
  id INTEGER PRIMARY KEY,
  scope TEXT NOT NULL,
  subject TEXT NOT NULL,
  period TEXT NOT NULL,
  unit TEXT NOT NULL,
  amount INTEGER NOT NULL,
  time_zone TEXT NOT NULL,
  is_shared INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (scope, subject, period, unit, is_shared)
);

CREATE TABLE budget_notices (
  budget_id INTEGER NOT NULL REFERENCES budgets (id) ON DELETE CASCADE,
  holder TEXT NOT NULL,
  period_start INTEGER NOT NULL,
  threshold INTEGER NOT NULL,
  noticed_at INTEGER NOT NULL,
  PRIMARY KEY (budget_id, holder, period_start, threshold)
) WITHOUT ROWID;

CREATE TABLE group_members (
  group_name TEXT NOT NULL,
  user TEXT NOT NULL,
  PRIMARY KEY (group_name, user)
) WITHOUT ROWID;

DROP INDEX interceptions_session;
CREATE INDEX tool_usages_call ON tool_usages (tool_call_id) WHERE tool_call_id != '';

-- What older versions recorded is linked by the rules of store/linking.py, once and for all. It is
-- worked out beside the wide rows, so that each of those is written once. Of a call id that was used
-- again and again, the 50 uses before and after count: all of them would take time without end.
CREATE TEMP TABLE places (
  seq INTEGER PRIMARY KEY,
  parent_seq INTEGER,
  thread_seq INTEGER,
  session_seq INTEGER
);
INSERT INTO places (seq, parent_seq)
  SELECT i.seq, CASE WHEN i.correlating_tool_call_id IS NOT NULL THEN (
    SELECT a.seq FROM tool_usages AS t CROSS JOIN interceptions AS a ON a.seq = t.interception_seq
    WHERE t.seq IN (
        SELECT seq FROM (
          SELECT seq FROM tool_usages WHERE tool_call_id = i.correlating_tool_call_id
            AND tool_call_id != '' AND seq < i.seq ORDER BY seq DESC LIMIT 50)
        UNION ALL
        SELECT seq FROM (
          SELECT seq FROM tool_usages WHERE tool_call_id = i.correlating_tool_call_id
            AND tool_call_id != '' AND seq > i.seq ORDER BY seq LIMIT 50))
      AND a.initiator_id = i.initiator_id AND a.client = i.client
      AND a.client_session_id IS i.client_session_id
      AND (a.started_at, a.id) < (i.started_at, i.id)
    ORDER BY a.started_at DESC, a.id DESC LIMIT 1
  ) END FROM interceptions AS i;
CREATE INDEX temp.places_parent ON places (parent_seq) WHERE parent_seq IS NOT NULL;
WITH RECURSIVE tree (seq, root) AS (
  SELECT seq, seq FROM places WHERE parent_seq IS NULL
  UNION ALL
  SELECT p.seq, tree.root FROM tree JOIN places AS p ON p.parent_seq = tree.seq
)
UPDATE places SET thread_seq = tree.root FROM tree WHERE places.seq = tree.seq;
INSERT INTO sessions (id, initiator_id, started_at, last_active_at)
  SELECT ifnull(i.client_session_id, root.id), i.initiator_id, min(i.started_at),
    max(max(i.started_at, ifnull(i.ended_at, 0)))
  FROM places AS p JOIN interceptions AS i ON i.seq = p.seq
  JOIN interceptions AS root ON root.seq = p.thread_seq
  GROUP BY 1, 2;
UPDATE places SET session_seq = (
  SELECT s.seq FROM interceptions AS i
  CROSS JOIN interceptions AS root
  CROSS JOIN sessions AS s ON s.id = ifnull(i.client_session_id, root.id)
    AND s.initiator_id = i.initiator_id
  WHERE i.seq = places.seq AND root.seq = places.thread_seq
);
UPDATE interceptions SET
  parent_seq = p.parent_seq, thread_seq = p.thread_seq, session_seq = p.session_seq,
  cost_micros = iif(end_seq IS NULL, NULL, 0), estimated = iif(end_seq IS NULL, NULL, 0),
  unpriced = iif(end_seq IS NULL, NULL, (
    SELECT count(*) FROM token_usages AS t WHERE t.interception_seq = interceptions.seq))
FROM places AS p WHERE p.seq = interceptions.seq;
DROP TABLE places;
CREATE INDEX interceptions_session_seq ON interceptions (session_seq, started_at);
CREATE INDEX interceptions_parent ON interceptions (parent_seq) WHERE parent_seq IS NOT NULL;
-- Those whose parent may still come: few, so that a write hardly ever touches this index.
CREATE INDEX interceptions_awaiting ON interceptions (correlating_tool_call_id)
  WHERE parent_seq IS NULL AND correlating_tool_call_id IS NOT NULL;
INSERT INTO usage_quarters
  SELECT started_at / 900000000, provider_name, model, client, initiator_id, ifnull(api_key_id, ''),
    ifnull(plan, ''), count(*), sum(ifnull(input_tokens, 0)), sum(ifnull(cache_read_input_tokens, 0)),
    sum(ifnull(cache_write_input_tokens, 0)), sum(ifnull(output_tokens, 0)),
    sum(ifnull(reasoning_tokens, 0)), count(*) FILTER (WHERE status = 'failed'),
    count(*) FILTER (WHERE status = 'aborted'), sum(cost_micros), sum(unpriced), sum(estimated)
  FROM interceptions WHERE end_seq IS NOT NULL
  GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO meta (key, value)
  SELECT 'rolled_seq', max(ifnull(max(seq), 0), ifnull(max(end_seq), 0)) FROM interceptions;

CREATE TRIGGER interception_deleted AFTER DELETE ON interceptions
WHEN old.end_seq <= (SELECT value FROM meta WHERE key = 'rolled_seq')
BEGIN
  UPDATE usage_quarters SET
    requests = requests - 1,
    input_tokens = input_tokens - ifnull(old.input_tokens, 0),
    cache_read_input_tokens = cache_read_input_tokens - ifnull(old.cache_read_input_tokens, 0),
    cache_write_input_tokens = cache_write_input_tokens - ifnull(old.cache_write_input_tokens, 0),
    output_tokens = output_tokens - ifnull(old.output_tokens, 0),
    reasoning_tokens = reasoning_tokens - ifnull(old.reasoning_tokens, 0),
    errors = errors - (old.status = 'failed'),
    aborted = aborted - (old.status = 'aborted'),
    cost_micros = cost_micros - ifnull(old.cost_micros, 0),
    unpriced = unpriced - ifnull(old.unpriced, 0),
    estimated = estimated - ifnull(old.estimated, 0)
  WHERE quarter = old.started_at / 900000000 AND provider_name = old.provider_name
    AND model = old.model AND client = old.client AND initiator_id = old.initiator_id
    AND api_key_id = ifnull(old.api_key_id, '') AND plan = ifnull(old.plan, '');
  DELETE FROM usage_quarters
  WHERE quarter = old.started_at / 900000000 AND provider_name = old.provider_name
    AND model = old.model AND client = old.client AND initiator_id = old.initiator_id
    AND api_key_id = ifnull(old.api_key_id, '') AND plan = ifnull(old.plan, '') AND requests = 0;
END;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Statement `n` takes a database from version `n` to `n + 1`."""
