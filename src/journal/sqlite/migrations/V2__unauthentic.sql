-- Requests that no secret matched. Kept within bounds; taken up by `events reverify`.
CREATE TABLE unauthentic (
    seq          INTEGER PRIMARY KEY,
    received_at  INTEGER NOT NULL,
    generated_at TEXT NOT NULL,
    signature    TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    body         BLOB NOT NULL
);
