-- Of which sort a failure is (a word of domain/cause.rs), with the answer's status and how long the attempt took.
ALTER TABLE work ADD COLUMN cause_code text;
ALTER TABLE endings ADD COLUMN cause_code text;
ALTER TABLE deliveries ADD COLUMN cause_code text, ADD COLUMN http_status integer, ADD COLUMN took_ms bigint;
ALTER TABLE attempts ADD COLUMN cause_code text, ADD COLUMN http_status integer, ADD COLUMN took_ms bigint;
-- What earlier versions wrote down as text alone.
UPDATE endings SET cause_code = CASE WHEN purged_at IS NULL THEN 'unclassified' ELSE 'purged' END WHERE state <> 'done';
UPDATE deliveries SET cause_code = 'unclassified' WHERE state = 'dead';
-- What needs attention is grouped by these, and found by them.
CREATE INDEX endings_cause ON endings (state, cause_code, event, ended_at) WHERE state <> 'done' AND purged_at IS NULL;
CREATE INDEX deliveries_cause ON deliveries (cause_code, sink, event) WHERE state = 'dead';

-- Why an operator read or changed something, in his own words.
ALTER TABLE audit ADD COLUMN reason text;
CREATE INDEX audit_event ON audit (event) WHERE event IS NOT NULL;

-- Replays of all that a filter finds, oldest first and at a pace: `cursor` is the last event that was looked at. One instance works on a job, until `leased_until` by the server's clock.
CREATE TABLE replay_jobs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at    bigint NOT NULL,
    actor         text NOT NULL,
    reason        text,
    filter        text NOT NULL,
    step          text NOT NULL,
    sinks         text[] NOT NULL,
    -- Events a second; as many as can be where there is none.
    rate          integer,
    total         bigint NOT NULL,
    cursor        bigint NOT NULL DEFAULT 0,
    scheduled     bigint NOT NULL DEFAULT 0,
    no_content    bigint NOT NULL DEFAULT 0,
    not_retrieved bigint NOT NULL DEFAULT 0,
    no_sink       bigint NOT NULL DEFAULT 0,
    state         text NOT NULL DEFAULT 'running',
    ended_at      bigint,
    cancelled_by  text,
    owner         uuid,
    leased_until  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX replay_jobs_running ON replay_jobs (id) WHERE state = 'running';
CREATE TABLE replayed (job bigint NOT NULL, event bigint NOT NULL, PRIMARY KEY (job, event));
