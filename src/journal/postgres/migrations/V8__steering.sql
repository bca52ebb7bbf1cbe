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
