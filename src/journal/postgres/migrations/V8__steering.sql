-- Sinks that an operator has paused, and when one was last resumed: what waited is not given up before it was tried for as
-- long again. Times are Unix milliseconds of the server's clock.
CREATE TABLE sink_pauses (
    sink       text PRIMARY KEY,
    since      bigint NOT NULL,
    actor      text NOT NULL,
    reason     text,
    -- None while it is paused.
    resumed_at bigint
);

-- The name of the instance that made an attempt, or a delivery. None where an earlier version has written it.
ALTER TABLE attempts ADD COLUMN instance text;
ALTER TABLE deliveries ADD COLUMN instance text;

-- What operators have noted on what needs attention, one for each cause and sink; the sink is empty where there is none.
CREATE TABLE cause_notes (
    cause text NOT NULL,
    sink  text NOT NULL,
    note  text NOT NULL,
    actor text NOT NULL,
    at    bigint NOT NULL,
    PRIMARY KEY (cause, sink)
);
