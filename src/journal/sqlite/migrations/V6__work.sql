-- What was received does not change, and what is pending stands in one narrow table: history does not weigh on the queue.
-- Times are Unix milliseconds.

ALTER TABLE events RENAME TO old_events;
DROP TRIGGER events_counted_in;
DROP TRIGGER events_counted_on;
DROP TRIGGER events_counted_out;

-- Written once. The key is the first half of the notification's; that of an amendment is the id of what it replaces.
CREATE TABLE receipts (
    seq          INTEGER PRIMARY KEY,
    id           BLOB NOT NULL,
    dedupe       BLOB NOT NULL,
    session_id   TEXT NOT NULL,
    encounter_id TEXT,
    received_at  INTEGER NOT NULL,
    generated_at INTEGER,
    source       TEXT NOT NULL,
    stale        INTEGER NOT NULL,
    status       TEXT,
    outcome      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    error_code   TEXT,
    -- Why it is no notification.
    junk         TEXT,
    body         BLOB
);
INSERT INTO receipts
    SELECT seq, id, substr(dedupe, 1, 16), session_id, encounter_id, received_at, generated_at, source, stale, status,
        outcome, kind, error_code, CASE WHEN state = 'quarantined' THEN coalesce(last_error, '') END, body
    FROM old_events ORDER BY seq;
-- Ids grow with time, so this one grows at its end. The other one is short, since its places are at random.
CREATE UNIQUE INDEX receipts_id ON receipts (id);
CREATE UNIQUE INDEX receipts_dedupe ON receipts (dedupe);

-- What is to be done. A row is held while it has an owner; the fence tells one holding from another.
CREATE TABLE work (
    event      INTEGER NOT NULL,
    task       TEXT NOT NULL,
    due        INTEGER NOT NULL,
    owner      BLOB,
    fence      INTEGER NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL,
    -- For how long it was tried while the vendor's API answered.
    tried_ms   INTEGER NOT NULL DEFAULT 0,
    cause      TEXT,
    PRIMARY KEY (event, task)
) WITHOUT ROWID;
-- What lost its content to retention cannot be done any more.
UPDATE deliveries SET state = 'dead', next_attempt_at = NULL, last_error = 'its content was purged'
    WHERE state = 'pending' AND event IN (SELECT seq FROM old_events WHERE body IS NULL);
DELETE FROM late WHERE event IN (SELECT seq FROM old_events WHERE body IS NULL);
INSERT INTO work (event, task, due, fence, tries, started_at, tried_ms, cause)
    SELECT seq,
        CASE WHEN NOT needs_sdp THEN 'forward' WHEN state = 'received' THEN 'new' ELSE 'retrieve' END,
        CASE WHEN holder IS NULL THEN next_attempt_at ELSE 0 END, fence, attempts, started_at, tried_ms, last_error
    FROM old_events WHERE next_attempt_at IS NOT NULL AND state IN ('received', 'retrieving')
    UNION ALL
    -- One that waits for its event to be retrieved is due when that is.
    SELECT event, 'deliver:' || sink,
        CASE WHEN next_attempt_at IS NULL THEN 9223372036854775807 WHEN holder IS NULL THEN next_attempt_at ELSE 0 END,
        fence, attempts, started_at, 0, last_error
    FROM deliveries WHERE state = 'pending'
    UNION ALL
    SELECT event, 'refresh', refresh_at, 0, 0, refresh_at, 0, NULL FROM late
    ORDER BY 1, 2;
CREATE INDEX work_due ON work (owner, task, due);
DELETE FROM deliveries WHERE state = 'pending';
DROP TABLE late;

-- What was found out and fetched, written once an attempt: the links as JSON, their answers behind one another. Where
-- `links` is NULL they are in the table of that name, as earlier versions left them.
CREATE TABLE retrievals (
    event          INTEGER PRIMARY KEY,
    outcome        TEXT NOT NULL,
    kind           TEXT NOT NULL,
    session_status TEXT,
    attempts       INTEGER NOT NULL,
    -- When all of it was there.
    retrieved_at   INTEGER,
    links          TEXT,
    bodies         BLOB
);
INSERT INTO retrievals (event, outcome, kind, session_status, attempts, retrieved_at)
    SELECT seq, outcome, kind, session_status, attempts, retrieved_at FROM old_events
    WHERE state <> 'quarantined' AND (attempts > 0 OR retrieved_at IS NOT NULL) ORDER BY seq;

-- How an event ended. Gone again while it is replayed.
CREATE TABLE endings (
    event       INTEGER PRIMARY KEY,
    state       TEXT NOT NULL,
    ended_at    INTEGER NOT NULL,
    cause       TEXT,
    -- Whether the content is still there, and when an operator removed it.
    has_content INTEGER NOT NULL,
    purged_at   INTEGER
);
INSERT INTO endings (event, state, ended_at, cause, has_content, purged_at)
    SELECT seq, state, coalesce(ended_at, started_at), CASE WHEN state <> 'quarantined' THEN last_error END,
        body IS NOT NULL, purged_at
    FROM old_events WHERE state IN ('done', 'dead', 'quarantined') ORDER BY seq;
CREATE INDEX endings_state ON endings (state, event);
CREATE INDEX endings_age ON endings (has_content, state, ended_at);
CREATE INDEX endings_purged ON endings (state) WHERE purged_at IS NOT NULL;

-- Which events a session or an encounter has. Written when an event is first worked on, so that its receipt does not pay
-- for it.
CREATE TABLE mentions (name TEXT NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (name, event)) WITHOUT ROWID;
INSERT OR IGNORE INTO mentions
    SELECT session_id, event FROM retrievals JOIN receipts ON seq = event
    UNION ALL
    SELECT encounter_id, event FROM retrievals JOIN receipts ON seq = event WHERE encounter_id IS NOT NULL;

-- A replay that waits for work on the event to end.
CREATE TABLE replays (event INTEGER PRIMARY KEY, step TEXT NOT NULL, sinks TEXT NOT NULL);
