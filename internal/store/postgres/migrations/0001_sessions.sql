-- The state of the whole store, in one row. Times are nanoseconds since 1970; the lowest bigint is "never".
CREATE TABLE meta (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    id              text    NOT NULL,
    last            bigint  NOT NULL, -- the newest number of a session or an entry
    last_revocation bigint  NOT NULL, -- the newest number of an entry
    all_before      bigint  NOT NULL  -- sessions below are revoked
) WITH (fillfactor = 50);

-- Token families. What SQL must see has a column; the rest is JSON in family. No index has a column that a rotation
-- changes, so that rotations stay inside their page.
CREATE TABLE families (
    key          bytea  PRIMARY KEY,
    sid          bytea  NOT NULL UNIQUE,
    owner        bytea  NOT NULL, -- half a hash of the subject
    number       bigint NOT NULL,
    family       bytea  NOT NULL,
    ends         bigint NOT NULL, -- when it may be forgotten, unless revoked
    revoked      bigint NOT NULL DEFAULT 0,
    forget_after bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX families_owner ON families (owner) WHERE revoked = 0;

-- The log of revocations.
CREATE TABLE entries (
    seq     bigint PRIMARY KEY,
    kind    text   NOT NULL,
    value   bytea  NOT NULL,
    before  bigint NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX entries_expires ON entries (expires);

-- What was revoked once has one number: hashes of session ids and of callers' ids.
CREATE TABLE known (
    key     bytea  PRIMARY KEY,
    seq     bigint NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX known_expires ON known (expires);

-- Events that are counted, oldest first.
CREATE TABLE counters (
    key     bytea    PRIMARY KEY,
    events  bigint[] NOT NULL,
    allowed boolean  NOT NULL, -- whether the last event was
    until   bigint   NOT NULL  -- when the newest has aged
) WITH (fillfactor = 70);

CREATE TABLE places (
    account bytea  NOT NULL,
    place   bytea  NOT NULL,
    used    bigint NOT NULL,
    expires bigint NOT NULL,
    PRIMARY KEY (account, place)
);
CREATE INDEX places_expires ON places (expires);

CREATE TABLE leases (
    edge    bytea       PRIMARY KEY,
    applied bigint      NOT NULL,
    until   timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The beginning of a session id: a number to the base 36.
CREATE FUNCTION base36(n bigint) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT string_agg(substr('0123456789abcdefghijklmnopqrstuvwxyz', (n / power % 36)::int + 1, 1), '' ORDER BY power DESC)
    FROM (SELECT (36::numeric ^ i)::bigint AS power FROM generate_series(0, 12) AS i) AS powers
    WHERE n >= power OR power = 1
$$;
