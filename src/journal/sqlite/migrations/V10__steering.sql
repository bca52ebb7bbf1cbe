-- Sinks that an operator has paused, and when one was last resumed: what waited is not given up before it was tried for as
-- long again. Times are Unix milliseconds.
CREATE TABLE sink_pauses (
    sink       TEXT PRIMARY KEY,
    since      INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    reason     TEXT,
    -- None while it is paused.
    resumed_at INTEGER
) WITHOUT ROWID;

-- The name of the instance that made an attempt, or a delivery. None where an earlier version has written it.
ALTER TABLE attempts ADD COLUMN instance TEXT;
ALTER TABLE deliveries ADD COLUMN instance TEXT;

-- What operators have noted on what needs attention, one for each cause and sink; the sink is empty where there is none.
CREATE TABLE cause_notes (
    cause TEXT NOT NULL,
    sink  TEXT NOT NULL,
    note  TEXT NOT NULL,
    actor TEXT NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (cause, sink)
) WITHOUT ROWID;
