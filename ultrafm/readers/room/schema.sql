-- Append-only: a trigger on every table refuses changes and deletions. Times are seconds since 1970, UTC.
CREATE TABLE protocols (id INTEGER PRIMARY KEY, at REAL NOT NULL, hash TEXT NOT NULL, text TEXT NOT NULL, reason TEXT);
-- who: a reader's code, or 'office' for the administrator. hash: SHA-256 of the secret. The newest link counts.
CREATE TABLE links (id INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, hash TEXT NOT NULL UNIQUE);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
    link INTEGER NOT NULL REFERENCES links
);
-- A case as shown once to a reader: the token stands in the page and names its pictures.
CREATE TABLE pages (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, token TEXT NOT NULL UNIQUE, reader TEXT NOT NULL, part TEXT NOT NULL,
    item TEXT NOT NULL, session INTEGER NOT NULL REFERENCES sessions, protocol TEXT NOT NULL
);
CREATE INDEX pages_of_reader ON pages (reader, part, item);
-- kind: consent, withdrawn; paused, resumed, alive and asleep of a page; refused (detail says why); deviation.
CREATE TABLE events (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL, page INTEGER REFERENCES pages,
    detail TEXT
);
CREATE INDEX events_of_page ON events (page);
CREATE INDEX events_of_leavers ON events (who) WHERE kind = 'withdrawn';
CREATE TABLE readings (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, page INTEGER NOT NULL UNIQUE REFERENCES pages, reader TEXT NOT NULL,
    part TEXT NOT NULL, item TEXT NOT NULL, diagnosis TEXT NOT NULL, region TEXT, seconds REAL NOT NULL,
    session INTEGER NOT NULL, protocol TEXT NOT NULL, deviation TEXT, content TEXT NOT NULL,
    UNIQUE (reader, part, item)
);
CREATE TABLE ratings (
    reading INTEGER NOT NULL REFERENCES readings, disease TEXT NOT NULL,
    rating INTEGER NOT NULL CHECK (rating BETWEEN 0 AND 100), PRIMARY KEY (reading, disease)
) WITHOUT ROWID;
