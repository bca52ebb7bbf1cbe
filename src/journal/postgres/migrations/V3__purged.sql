-- When an operator removed the content. The state stays what it was, since an older version beside this one knows no other;
-- this version shows such an event as purged.
ALTER TABLE events ADD COLUMN purged_at bigint;
CREATE INDEX events_purged ON events (state) WHERE purged_at IS NOT NULL;
-- What earlier versions wrote of those.
UPDATE events SET purged_at = ended_at WHERE state = 'dead' AND body IS NULL AND last_error = 'purged by an operator';
