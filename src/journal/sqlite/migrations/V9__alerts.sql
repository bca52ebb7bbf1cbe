-- Alerts that sinks were told of, and not of their end yet. Times are Unix milliseconds.
CREATE TABLE told_alerts (
    sink    TEXT NOT NULL,
    alert   TEXT NOT NULL,
    about   TEXT NOT NULL,
    since   INTEGER NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (sink, alert, about)
) WITHOUT ROWID;

-- From when the vendor's retention of an expected session counts.
CREATE INDEX expected_earliest
    ON expected (min(registered_at, coalesce(started_at, registered_at), coalesce(ended_at, registered_at)))
    WHERE due IS NOT NULL;
