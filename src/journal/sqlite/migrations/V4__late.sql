-- For how long an event has been tried while the vendor's API answered: what graces and the giving up are counted in.
ALTER TABLE events ADD COLUMN tried_ms INTEGER NOT NULL DEFAULT 0;

-- Events that were delivered without something, and when that is asked for again; while someone does so, when that lease
-- ends. Beside the events, since few have it and every row would grow.
CREATE TABLE late (event INTEGER PRIMARY KEY, refresh_at INTEGER NOT NULL);
CREATE INDEX late_due ON late (refresh_at);
-- Events that came about so: which version of the event they are, and the id of the one that they replace.
CREATE TABLE amendments (event INTEGER PRIMARY KEY, revision INTEGER NOT NULL, replaces BLOB NOT NULL);
