-- Alerts that sinks were told of, and not of their end yet. Times are Unix milliseconds.
CREATE TABLE told_alerts (
    sink    text NOT NULL,
    alert   text NOT NULL,
    about   text NOT NULL,
    since   bigint NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (sink, alert, about)
);

-- From when the vendor's retention of an expected session counts.
CREATE INDEX expected_earliest ON expected (least(registered_at, started_at, ended_at)) WHERE due IS NOT NULL;
