-- What was received does not change, and what is pending stands in one narrow table: history does not weigh on the queue.
-- Instances of an earlier version cannot go on beside this: they are to have ended, and this is seen to before (see
-- migrate.rs). Times are Unix milliseconds, and those that decide anything are the server's own.

DROP TRIGGER events_counted_in ON events;
DROP TRIGGER events_counted_on ON events;
DROP TRIGGER events_counted_out ON events;
DROP FUNCTION events_counted_in();
DROP FUNCTION events_counted_on();
DROP FUNCTION events_counted_out();

-- The instances that work, and when each was last heard of.
CREATE TABLE instances (id uuid PRIMARY KEY, seen_at bigint NOT NULL) WITH (fillfactor = 50);

-- What is to be done. A row is held while it has an owner; the fence tells one holding from another.
CREATE TABLE work (
    event      bigint NOT NULL,
    task       text NOT NULL,
    due        bigint NOT NULL,
    owner      uuid,
    fence      bigint NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    started_at bigint NOT NULL,
    -- For how long it was tried while the vendor's API answered.
    tried_ms   bigint NOT NULL DEFAULT 0,
    cause      text,
    PRIMARY KEY (event, task)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
-- What lost its content to retention cannot be done any more.
UPDATE deliveries SET state = 'dead', next_attempt_at = NULL, last_error = 'its content was purged'
    WHERE state = 'pending' AND event IN (SELECT seq FROM events WHERE body IS NULL);
DELETE FROM late WHERE event IN (SELECT seq FROM events WHERE body IS NULL);
INSERT INTO work (event, task, due, fence, tries, started_at, tried_ms, cause)
    SELECT seq,
        CASE WHEN NOT needs_sdp THEN 'forward' WHEN state = 'received' THEN 'new' ELSE 'retrieve' END,
        CASE WHEN holder IS NULL THEN next_attempt_at ELSE 0 END, fence, attempts, started_at, tried_ms, last_error
    FROM events WHERE next_attempt_at IS NOT NULL AND state IN ('received', 'retrieving')
    UNION ALL
    -- One that waits for its event to be retrieved is due when that is.
    SELECT event, 'deliver:' || sink,
        CASE WHEN next_attempt_at IS NULL THEN 9223372036854775807 WHEN holder IS NULL THEN next_attempt_at ELSE 0 END,
        fence, attempts, started_at, 0, last_error
    FROM deliveries WHERE state = 'pending'
    UNION ALL
    SELECT event, 'refresh', refresh_at, 0, 0, refresh_at, 0, NULL FROM late;
CREATE INDEX work_due ON work (owner, task, due);
DELETE FROM deliveries WHERE state = 'pending';
DROP INDEX deliveries_due;
DROP TABLE late;

-- What was found out and fetched, written once an attempt: the links as JSON, their answers behind one another. Where
-- `links` is NULL they are in the table of that name, as earlier versions left them.
CREATE TABLE retrievals (
    event          bigint PRIMARY KEY,
    outcome        text NOT NULL,
    kind           text NOT NULL,
    session_status text,
    -- Here as well, so that a receipt does not pay for its index.
    encounter_id   text,
    attempts       integer NOT NULL,
    -- When all of it was there.
    retrieved_at   bigint,
    links          text,
    bodies         bytea
);
-- What comes from such an API is compressed by it, or is small.
ALTER TABLE retrievals ALTER COLUMN bodies SET STORAGE EXTERNAL;
INSERT INTO retrievals (event, outcome, kind, session_status, encounter_id, attempts, retrieved_at)
    SELECT seq, outcome, kind, session_status, encounter_id, attempts, retrieved_at FROM events
    WHERE state <> 'quarantined' AND (attempts > 0 OR retrieved_at IS NOT NULL);
-- By hash, since an encounter's id may be too long for a tree.
CREATE INDEX retrievals_encounter ON retrievals USING hash (encounter_id) WHERE encounter_id IS NOT NULL;

-- How an event ended. Gone again while it is replayed.
CREATE TABLE endings (
    event       bigint PRIMARY KEY,
    state       text NOT NULL,
    ended_at    bigint NOT NULL,
    cause       text,
    -- Whether the content is still there, and when an operator removed it.
    has_content boolean NOT NULL,
    purged_at   bigint
);
INSERT INTO endings (event, state, ended_at, cause, has_content, purged_at)
    SELECT seq, state, coalesce(ended_at, started_at), CASE WHEN state <> 'quarantined' THEN last_error END,
        body IS NOT NULL, purged_at
    FROM events WHERE state IN ('done', 'dead', 'quarantined');
CREATE INDEX endings_state ON endings (state, event);
CREATE INDEX endings_age ON endings (has_content, state, ended_at);
CREATE INDEX endings_purged ON endings (state) WHERE purged_at IS NOT NULL;

-- A replay that waits for work on the event to end.
CREATE TABLE replays (event bigint PRIMARY KEY, step text NOT NULL, sinks text[] NOT NULL);

-- What is left of an event is its receipt. Its indexes go with their columns.
ALTER TABLE events ADD COLUMN junk text;
UPDATE events SET junk = coalesce(last_error, '') WHERE state = 'quarantined';
ALTER TABLE events RENAME TO receipts;
ALTER TABLE receipts
    DROP COLUMN session_status, DROP COLUMN state, DROP COLUMN attempts, DROP COLUMN started_at,
    DROP COLUMN next_attempt_at, DROP COLUMN fence, DROP COLUMN holder, DROP COLUMN last_error,
    DROP COLUMN retrieved_at, DROP COLUMN ended_at, DROP COLUMN tried_ms, DROP COLUMN purged_at;
