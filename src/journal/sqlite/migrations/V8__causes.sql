-- Of which sort a failure is (a word of domain/cause.rs), with the answer's status and how long the attempt took.
ALTER TABLE work ADD COLUMN cause_code TEXT;
ALTER TABLE endings ADD COLUMN cause_code TEXT;
ALTER TABLE deliveries ADD COLUMN cause_code TEXT;
ALTER TABLE deliveries ADD COLUMN http_status INTEGER;
ALTER TABLE deliveries ADD COLUMN took_ms INTEGER;
ALTER TABLE attempts ADD COLUMN cause_code TEXT;
ALTER TABLE attempts ADD COLUMN http_status INTEGER;
ALTER TABLE attempts ADD COLUMN took_ms INTEGER;
-- What earlier versions wrote down as text alone.
UPDATE endings SET cause_code = CASE WHEN purged_at IS NULL THEN 'unclassified' ELSE 'purged' END WHERE state <> 'done';
UPDATE deliveries SET cause_code = 'unclassified' WHERE state = 'dead';
-- What needs attention is grouped by these, and found by them.
CREATE INDEX endings_cause ON endings (state, cause_code, event, ended_at) WHERE state <> 'done' AND purged_at IS NULL;
CREATE INDEX deliveries_cause ON deliveries (cause_code, sink, event) WHERE state = 'dead';

-- Why an operator read or changed something, in his own words.
ALTER TABLE audit ADD COLUMN reason TEXT;
CREATE INDEX audit_event ON audit (event) WHERE event IS NOT NULL;

-- Replays of all that a filter finds, oldest first and at a pace: `cursor` is the last event that was looked at.
CREATE TABLE replay_jobs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at    INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    reason        TEXT,
    filter        TEXT NOT NULL,
    step          TEXT NOT NULL,
    sinks         TEXT NOT NULL,
    -- Events a second; as many as can be where there is none.
    rate          INTEGER,
    total         INTEGER NOT NULL,
    cursor        INTEGER NOT NULL DEFAULT 0,
    scheduled     INTEGER NOT NULL DEFAULT 0,
    no_content    INTEGER NOT NULL DEFAULT 0,
    not_retrieved INTEGER NOT NULL DEFAULT 0,
    no_sink       INTEGER NOT NULL DEFAULT 0,
    state         TEXT NOT NULL DEFAULT 'running',
    ended_at      INTEGER,
    cancelled_by  TEXT
);
CREATE INDEX replay_jobs_running ON replay_jobs (id) WHERE state = 'running';
CREATE TABLE replayed (job INTEGER NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (job, event)) WITHOUT ROWID;
