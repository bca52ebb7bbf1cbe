-- Sessions that are expected, one row each. Times are Unix milliseconds.
CREATE TABLE expected (
    seq            INTEGER PRIMARY KEY,
    session_id     TEXT NOT NULL UNIQUE,
    encounter_id   TEXT,
    kind           TEXT NOT NULL,
    provider       TEXT,
    origin         TEXT NOT NULL,
    started_at     INTEGER,
    ended_at       INTEGER,
    deadline       INTEGER,
    registered_at  INTEGER NOT NULL,
    -- What the partner said of patient, encounter and provider: content, and removed as such.
    context        BLOB,
    state          TEXT NOT NULL,
    -- When its status is asked for, and in which order among those that are due; no time once it has an end.
    due            INTEGER,
    lane           INTEGER NOT NULL,
    -- Since when it is overdue: what the waits between two questions are counted from.
    due_since      INTEGER NOT NULL,
    polls          INTEGER NOT NULL DEFAULT 0,
    last_status    TEXT,
    last_result    TEXT,
    aborted_at     INTEGER,
    -- When it had its end here, and the event that is its end.
    settled_at     INTEGER,
    event          BLOB
);
CREATE INDEX expected_due ON expected (lane, due) WHERE due IS NOT NULL;
CREATE INDEX expected_overdue ON expected (due_since) WHERE due IS NOT NULL;
CREATE INDEX expected_state ON expected (state, seq);
CREATE INDEX expected_context ON expected (settled_at) WHERE context IS NOT NULL;
CREATE INDEX expected_settled ON expected (settled_at) WHERE due IS NULL;

-- Counted as they change. Few rows change at once, so that triggers do it.
CREATE TABLE expected_counts (state TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO expected_counts (state, n) VALUES ('open', 0), ('polling', 0), ('met', 0), ('recovered', 0), ('late', 0),
    ('absent', 0), ('denied', 0), ('expired', 0), ('withdrawn', 0);
CREATE TRIGGER expected_counted_in AFTER INSERT ON expected BEGIN
    UPDATE expected_counts SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER expected_counted_on AFTER UPDATE OF state ON expected WHEN old.state <> new.state BEGIN
    UPDATE expected_counts SET n = n - 1 WHERE state = old.state;
    UPDATE expected_counts SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER expected_counted_out AFTER DELETE ON expected BEGIN
    UPDATE expected_counts SET n = n - 1 WHERE state = old.state;
END;

-- The event whose content an event has, so that nothing of it was delivered.
ALTER TABLE endings ADD COLUMN same_as BLOB;
-- Up to when the vendor has told of a note in words that are known: what was fetched before may be of an earlier note.
ALTER TABLE work ADD COLUMN noted_at INTEGER;
-- When a sink's target confirmed that it applied an event, and which confirmations are waited for until when.
ALTER TABLE deliveries ADD COLUMN applied_at INTEGER;
CREATE TABLE unapplied (
    event INTEGER NOT NULL,
    sink  TEXT NOT NULL,
    due   INTEGER NOT NULL,
    PRIMARY KEY (event, sink)
) WITHOUT ROWID;
CREATE INDEX unapplied_due ON unapplied (due);
