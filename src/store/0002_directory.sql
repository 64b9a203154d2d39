-- People as admins see them. The profile is what was said last, by a sign-in, by SCIM or by an invitation.
-- `search` is name, e-mail and username in lower case. `invited` is 1 until the invitation is accepted.
-- `users.signed_in_at` is 0 for who never signed in.
ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN name TEXT;
ALTER TABLE users ADD COLUMN username TEXT;
ALTER TABLE users ADD COLUMN search TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN invited BIGINT NOT NULL DEFAULT 0;
-- The list of people is read from it alone, and counted.
CREATE INDEX users_by_name ON users (search, id, active, invited);
CREATE INDEX users_by_invitation ON users (id) WHERE invited = 1;

-- Why a user is deactivated, by who said so; `users.active` is 1 exactly while there is none.
CREATE TABLE user_blocks (
    user_id TEXT   NOT NULL REFERENCES users (id),
    source  TEXT   NOT NULL,
    deleted BIGINT NOT NULL,
    why     TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (user_id, source)
);

-- Roles that do not come from groups. An empty role: invited to the app, with its default role.
CREATE TABLE grants (
    user_id  TEXT   NOT NULL REFERENCES users (id),
    app      TEXT   NOT NULL,
    role     TEXT   NOT NULL,
    source   TEXT   NOT NULL,
    given_by TEXT   NOT NULL,
    given_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, app, role, source)
);

-- Not tied to `users`: who was invited and never came is forgotten, the invitation stays on record.
CREATE TABLE invitations (
    id           TEXT   NOT NULL PRIMARY KEY,
    token_hash   TEXT   NOT NULL UNIQUE,
    user_id      TEXT   NOT NULL,
    email        TEXT   NOT NULL,
    email_key    TEXT   NOT NULL,
    name         TEXT,
    grants       TEXT   NOT NULL,
    password     BIGINT NOT NULL,
    break_glass  BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    accepted_at  BIGINT,
    withdrawn_at BIGINT
);
CREATE INDEX invitations_by_email ON invitations (email_key);
CREATE INDEX invitations_by_user ON invitations (user_id);
CREATE INDEX invitations_by_time ON invitations (created_at, id);

-- Passwords are Argon2id in PHC form, TOTP secrets are sealed. `totp_step` is the last time step that was used.
CREATE TABLE local_credentials (
    user_id       TEXT   NOT NULL PRIMARY KEY REFERENCES users (id),
    login_key     TEXT   NOT NULL UNIQUE,
    password_hash TEXT   NOT NULL,
    totp_sealed   TEXT,
    totp_enrolled_at BIGINT,
    totp_step     BIGINT NOT NULL,
    break_glass   BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    changed_at    BIGINT NOT NULL,
    used_at       BIGINT
);

-- Failed attempts, by account name or address (as a hash), within one window.
CREATE TABLE local_failures (
    kind     TEXT   NOT NULL,
    key      TEXT   NOT NULL,
    failures BIGINT NOT NULL,
    since    BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX local_failures_by_time ON local_failures (since);

-- An admin's word on an identity provider; it holds until that provider's part of the file changes.
CREATE TABLE idp_switches (
    idp       TEXT   NOT NULL PRIMARY KEY,
    enabled   BIGINT NOT NULL,
    config    TEXT   NOT NULL,
    set_by    TEXT   NOT NULL,
    set_at    BIGINT NOT NULL
);

-- Tokens of the admin API; only their SHA-256 is kept.
CREATE TABLE api_tokens (
    id           TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    hash         TEXT   NOT NULL UNIQUE,
    scope        TEXT   NOT NULL,
    created_by   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    used_at      BIGINT,
    revoked_at   BIGINT
);

-- What finds the person of a subject in the IdP's directory (`scim.match`), as the last sign-in said it.
ALTER TABLE subjects ADD COLUMN directory_key TEXT;
CREATE INDEX subjects_by_directory_key ON subjects (idp, directory_key);
CREATE INDEX subjects_by_value ON subjects (idp, value);
-- Whoever signs in for the first time is looked for by it.
CREATE INDEX subjects_by_email ON subjects (email_key);

-- SCIM resources, one name space for each IdP. `document` is the resource as it was sent, without id, meta, groups and members.
CREATE TABLE scim_users (
    idp           TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    user_id       TEXT   NOT NULL REFERENCES users (id),
    external_id   TEXT,
    user_name     TEXT   NOT NULL,
    user_name_key TEXT   NOT NULL,
    match_value   TEXT,
    active        BIGINT NOT NULL,
    document      TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    changed_at    BIGINT NOT NULL,
    PRIMARY KEY (idp, id),
    UNIQUE (idp, user_name_key)
);
CREATE INDEX scim_users_by_user ON scim_users (user_id);
CREATE INDEX scim_users_by_external_id ON scim_users (idp, external_id, id);
CREATE UNIQUE INDEX scim_users_by_match ON scim_users (idp, match_value);
CREATE INDEX scim_users_by_change ON scim_users (idp, changed_at, id);

-- Every address of a user resource, as names are compared: clients find their users by one.
CREATE TABLE scim_emails (
    idp       TEXT NOT NULL,
    email_key TEXT NOT NULL,
    id        TEXT NOT NULL,
    PRIMARY KEY (idp, email_key, id),
    FOREIGN KEY (idp, id) REFERENCES scim_users (idp, id)
);
CREATE INDEX scim_emails_by_id ON scim_emails (idp, id);

CREATE TABLE scim_groups (
    idp              TEXT   NOT NULL,
    id               TEXT   NOT NULL,
    external_id      TEXT,
    display_name     TEXT   NOT NULL,
    display_name_key TEXT   NOT NULL,
    document         TEXT   NOT NULL,
    version          BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    changed_at       BIGINT NOT NULL,
    PRIMARY KEY (idp, id),
    UNIQUE (idp, display_name_key)
);
CREATE INDEX scim_groups_by_external_id ON scim_groups (idp, external_id, id);
CREATE INDEX scim_groups_by_change ON scim_groups (idp, changed_at, id);

CREATE TABLE scim_members (
    idp       TEXT NOT NULL,
    group_id  TEXT NOT NULL,
    member_id TEXT NOT NULL,
    PRIMARY KEY (idp, group_id, member_id),
    FOREIGN KEY (idp, group_id) REFERENCES scim_groups (idp, id),
    FOREIGN KEY (idp, member_id) REFERENCES scim_users (idp, id)
);
CREATE INDEX scim_members_by_member ON scim_members (idp, member_id, group_id);

-- What a deleted SCIM user was known by, so that a sign-in does not bring the user back.
CREATE TABLE scim_marks (
    idp     TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    value   TEXT   NOT NULL,
    user_id TEXT   NOT NULL REFERENCES users (id),
    at      BIGINT NOT NULL,
    PRIMARY KEY (idp, kind, value)
);
CREATE INDEX scim_marks_by_user ON scim_marks (user_id);

-- Users who changed since the apps were looked at: written with the change, taken away when every app was told or needs nothing.
CREATE TABLE changes (
    user_id    TEXT   NOT NULL PRIMARY KEY REFERENCES users (id),
    changed_at BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    look_at    BIGINT NOT NULL
);
CREATE INDEX changes_by_time ON changes (look_at);

-- Whether the app was told last that the user is active.
ALTER TABLE accounts ADD COLUMN active BIGINT NOT NULL DEFAULT 1;

-- The outbox is `events`: one waits for each user and app. `state` is `waiting` or `dead`. `begun_at` is when the present series of tries
-- began: when it was made, or tried anew by an admin.
ALTER TABLE events ADD COLUMN kind TEXT NOT NULL DEFAULT 'user.updated';
ALTER TABLE events ADD COLUMN state TEXT NOT NULL DEFAULT 'waiting';
ALTER TABLE events ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN next_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN begun_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN last_error TEXT;
CREATE INDEX events_by_time ON events (app, state, next_at);

-- What became of events.
CREATE TABLE deliveries (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL,
    app        TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    tries      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    done_at    BIGINT NOT NULL,
    error      TEXT
);
CREATE INDEX deliveries_by_time ON deliveries (done_at, id);
CREATE INDEX deliveries_by_user ON deliveries (user_id, done_at);

-- Append only. `hash` is SHA-256 over the line and the hash before it.
CREATE TABLE audit (
    number     BIGINT NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    action     TEXT   NOT NULL,
    actor      TEXT   NOT NULL,
    user_id    TEXT,
    app        TEXT,
    idp        TEXT,
    outcome    TEXT   NOT NULL,
    why        TEXT   NOT NULL,
    client     TEXT,
    request_id TEXT,
    details    TEXT   NOT NULL,
    hash       TEXT   NOT NULL
);
-- The list is read newest first, through one of these.
CREATE INDEX audit_by_time ON audit (at, number);
CREATE INDEX audit_by_action ON audit (action, at, number, outcome);
CREATE INDEX audit_by_actor ON audit (actor, at, number);
CREATE INDEX audit_by_outcome ON audit (outcome, at, number);
CREATE INDEX audit_by_user ON audit (user_id, at, number) WHERE user_id IS NOT NULL;
CREATE INDEX audit_by_app ON audit (app, at, number) WHERE app IS NOT NULL;
CREATE INDEX audit_by_idp ON audit (idp, at, number) WHERE idp IS NOT NULL;

-- The ends of the chain: `head` is the last line, `anchor` the last one that retention took away.
CREATE TABLE audit_ends (
    name   TEXT   NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    hash   TEXT   NOT NULL
);
INSERT INTO audit_ends (name, number, hash) VALUES ('head', 0, ''), ('anchor', 0, '');

CREATE INDEX sessions_by_time ON sessions (created_at, sid);
