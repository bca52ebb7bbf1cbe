-- Times are Unix milliseconds. next_attempt_at is when an event or delivery is due; while it is leased, when the lease ends.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY,
    id              BLOB NOT NULL UNIQUE,
    session_id      TEXT NOT NULL,
    dedupe          BLOB NOT NULL,
    encounter_id    TEXT,
    received_at     INTEGER NOT NULL,
    generated_at    INTEGER,
    source          TEXT NOT NULL,
    stale           INTEGER NOT NULL,
    status          TEXT,
    outcome         TEXT NOT NULL,
    kind            TEXT NOT NULL,
    error_code      TEXT,
    session_status  TEXT,
    state           TEXT NOT NULL,
    needs_sdp       INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    started_at      INTEGER NOT NULL,
    next_attempt_at INTEGER,
    fence           INTEGER NOT NULL DEFAULT 0,
    holder          BLOB,
    last_error      TEXT,
    retrieved_at    INTEGER,
    ended_at        INTEGER,
    body            BLOB,
    -- One index serves both: what is a duplicate, and what came for a session.
    UNIQUE (session_id, dedupe)
);
CREATE INDEX events_due ON events (needs_sdp, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX events_state ON events (state);
-- An event comes into this one when it is first worked on, so that its receipt does not pay for it.
CREATE INDEX events_encounter ON events (encounter_id) WHERE encounter_id IS NOT NULL AND state <> 'received';
CREATE INDEX events_ended ON events (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE links (
    event       INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    link_group  TEXT NOT NULL,
    href        TEXT NOT NULL,
    state       TEXT NOT NULL,
    http_status INTEGER,
    fetched_at  INTEGER,
    reason      TEXT,
    bytes       INTEGER,
    body        BLOB,
    PRIMARY KEY (event, n)
);

CREATE TABLE deliveries (
    event           INTEGER NOT NULL,
    sink            TEXT NOT NULL,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    started_at      INTEGER NOT NULL,
    next_attempt_at INTEGER,
    fence           INTEGER NOT NULL DEFAULT 0,
    holder          BLOB,
    delivered_at    INTEGER,
    last_error      TEXT,
    PRIMARY KEY (event, sink)
) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (sink, next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- What no other column tells of an event's history.
CREATE TABLE attempts (
    event  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX attempts_event ON attempts (event);

CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    event  BLOB
);

-- Counted as they change, so that a count never reads millions of rows.
CREATE TABLE counts (state TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counts (state, n) VALUES
    ('received', 0), ('retrieving', 0), ('delivering', 0), ('done', 0), ('dead', 0), ('quarantined', 0);
CREATE TRIGGER events_counted_in AFTER INSERT ON events BEGIN
    UPDATE counts SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER events_counted_on AFTER UPDATE OF state ON events WHEN old.state <> new.state BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state;
    UPDATE counts SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER events_counted_out AFTER DELETE ON events BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state;
END;
