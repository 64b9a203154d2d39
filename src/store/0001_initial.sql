-- Times are Unix seconds. Keys are text, flags are 0 or 1: the same in SQLite and PostgreSQL.

CREATE TABLE own_secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE signing_keys (
    number     BIGINT NOT NULL PRIMARY KEY,
    kid        TEXT   NOT NULL UNIQUE,
    x          TEXT   NOT NULL,
    y          TEXT   NOT NULL,
    sealed     TEXT   NOT NULL,
    signs_from BIGINT NOT NULL
);

-- The one that signs; all of them decrypt and are published.
CREATE TABLE saml_keys (
    number      BIGINT NOT NULL PRIMARY KEY,
    certificate TEXT   NOT NULL UNIQUE,
    sealed      TEXT   NOT NULL,
    signs       BIGINT NOT NULL
);
CREATE UNIQUE INDEX saml_keys_by_signer ON saml_keys (signs) WHERE signs = 1;

CREATE TABLE claims (
    kind       TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    kept_until BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX claims_by_end ON claims (kept_until);

CREATE TABLE users (
    id           TEXT   NOT NULL PRIMARY KEY,
    active       BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    signed_in_at BIGINT NOT NULL
);

-- Every e-mail address and username, lower case, belongs to one user. One name space for both,
-- since many apps look a person up by either.
CREATE TABLE held_names (
    name    TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id)
);
CREATE INDEX held_names_by_user ON held_names (user_id);

-- `format` is the format of a SAML NameID, empty for OIDC: one value under two formats is two subjects.
CREATE TABLE subjects (
    idp          TEXT   NOT NULL,
    issuer       TEXT   NOT NULL,
    format       TEXT   NOT NULL,
    value        TEXT   NOT NULL,
    protocol     TEXT   NOT NULL,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    email_key    TEXT,
    username_key TEXT,
    attributes   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    signed_in_at BIGINT NOT NULL,
    PRIMARY KEY (idp, issuer, format, value)
);
CREATE INDEX subjects_by_user ON subjects (user_id);

CREATE TABLE accounts (
    user_id    TEXT   NOT NULL REFERENCES users (id),
    app        TEXT   NOT NULL,
    account    TEXT,
    roles      TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    message    TEXT,
    reason     TEXT,
    told       TEXT   NOT NULL,
    told_body  TEXT,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, app)
);

CREATE TABLE events (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id),
    app        TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    told       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (user_id, app)
);

CREATE TABLE sessions (
    key              TEXT   NOT NULL PRIMARY KEY,
    sid              TEXT   NOT NULL UNIQUE,
    user_id          TEXT   NOT NULL REFERENCES users (id),
    idp              TEXT   NOT NULL,
    issuer           TEXT   NOT NULL,
    format           TEXT   NOT NULL,
    subject          TEXT   NOT NULL,
    origin           TEXT   NOT NULL,
    authenticated_at BIGINT NOT NULL,
    acr              TEXT,
    idp_session      TEXT,
    name_id_key      TEXT,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    seen_at          BIGINT NOT NULL,
    renew_at         BIGINT NOT NULL,
    tokens           TEXT   NOT NULL,
    FOREIGN KEY (idp, issuer, format, subject) REFERENCES subjects (idp, issuer, format, value)
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_name_id ON sessions (idp, name_id_key);
CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_by_idp_session ON sessions (idp, idp_session);
CREATE INDEX sessions_by_subject ON sessions (idp, subject);
