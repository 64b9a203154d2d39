//! Whole answers: each admin page and each list of SCIM, as the listener asks for them, with what stands in the store beside people and lines.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{Request, Response};
use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection};
use usher::admin::pages::{self, PageAsked};
use usher::admin::scim::{self, ScimAsked};
use usher::config;
use usher::session::{NewSession, Tokens};
use usher::usher::Usher;

use super::{Done, ask, user};

/// Of the SCIM client.
const TOKEN: &str = "bench-scim-token-0123456789abcdef-0123";
/// Whoever looks at the pages.
const ADMIN: u64 = 1;

/// What a directory of that size has besides: SCIM resources of all people, 300 groups, 20,000 sessions, 100,000 messages that the app
/// took and 500 that it did not, 3,000 invitations.
const SEED: [&str; 8] = [
    "INSERT INTO scim_users (idp, id, user_id, external_id, user_name, user_name_key, match_value, active, document, version, \
     created_at, changed_at) SELECT 'acme', 'scim-' || substr(id, 5), id, 'ext-' || rowid, username, username, 'ext-' || rowid, active, \
     json_object('userName', username, 'externalId', 'ext-' || rowid, 'displayName', name, \
     'active', json(CASE WHEN active = 1 THEN 'true' ELSE 'false' END), \
     'name', json_object('formatted', name, 'givenName', 'Given ' || (rowid % 900), 'familyName', 'Family ' || (rowid % 700)), \
     'emails', json_array(json_object('value', email, 'type', 'work', 'primary', json('true'))), \
     'title', 'Engineer ' || (rowid % 50), 'preferredLanguage', 'en', 'timezone', 'Europe/Zurich', \
     'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User', \
     json_object('department', 'Department ' || (rowid % 300), 'employeeNumber', 'E' || rowid)), \
     1, 1700000000, 1700000000 + rowid FROM users",
    "INSERT INTO scim_emails (idp, email_key, id) SELECT 'acme', email, 'scim-' || substr(id, 5) FROM users",
    "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299) \
     INSERT INTO scim_groups (idp, id, external_id, display_name, display_name_key, document, version, created_at, changed_at) \
     SELECT 'acme', 'group-' || i, 'guid-' || i, 'Group ' || i, 'group ' || i, json_object('displayName', 'Group ' || i), \
     1, 1700000000, 1700000000 + i FROM n",
    "INSERT INTO scim_members (idp, group_id, member_id) SELECT 'acme', 'group-' || (rowid % 300), 'scim-' || substr(id, 5) FROM users",
    "INSERT INTO sessions (key, sid, user_id, idp, issuer, format, subject, origin, authenticated_at, created_at, expires_at, seen_at, \
     renew_at, tokens) SELECT 'key-' || rowid, 'ses_' || rowid, user_id, idp, issuer, format, value, 'https://wiki.example', \
     1784559000, 1784559000, 1784600000, 1784559900, 9223372036854775807, '' FROM subjects LIMIT 20000",
    "INSERT INTO deliveries (id, user_id, app, kind, outcome, tries, created_at, done_at) \
     SELECT printf('evt_%032x', rowid), id, 'wiki', 'user.updated', 'allowed', 1, 1760000000 + rowid, 1760000001 + rowid FROM users",
    "INSERT INTO events (id, user_id, app, kind, body, told, created_at, state, tries, begun_at, next_at, last_error) \
     SELECT printf('evt_a%031x', rowid), id, 'wiki', 'user.updated', '{}', '', 1784000000, 'dead', 40, 1784000000, 1784300000, \
     'HTTP 500' FROM users LIMIT 500",
    "INSERT INTO invitations (id, token_hash, user_id, email, email_key, grants, password, break_glass, created_by, created_at, expires_at) \
     SELECT 'inv_' || rowid, 'hash-' || rowid, id, email, email, '[]', 0, 0, 'token:ci', 1784500000 + rowid, 1785100000 FROM users \
     WHERE invited = 1 LIMIT 3000",
];

/// Fills the rest.
pub(super) async fn seed(on: &mut SqliteConnection) -> Done<()> {
    let mut transaction = on.begin().await?;
    for statement in SEED {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

fn config_text(file: &Path) -> String {
    format!(
        "listen: 127.0.0.1:0
public_url: https://wiki.example
store: sqlite:{}
admin: {{ listen: \"127.0.0.1:0\", public_url: https://usher.corp.example, allow: {{ groups: {{ acme: [engineering] }} }} }}
identity_providers:
  - id: acme
    oidc: {{ issuer: https://login.acme.example, client_id: usher, client_secret: bench-secret-0123456789 }}
    scim: {{ token: {TOKEN} }}
apps:
  - id: wiki
    upstream: http://127.0.0.1:9
    provisioning: {{ mode: jit, roles: [viewer, editor], default_role: viewer, group_roles: {{ acme: {{ engineering: editor }} }} }}
",
        file.display()
    )
}

struct Desk {
    usher: Arc<Usher>,
    cookie: String,
    now: Timestamp,
}

impl Desk {
    async fn open(file: &Path, now: Timestamp) -> Done<Self> {
        // Where there is one already, it stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = config::parse("bench.yaml", &config_text(file), &|_| None)
            .map_err(|problems| problems.to_string())?;
        let usher = Arc::new(Usher::start(config, now).await?);
        let (person, _) = usher
            .directory
            .latest_person(&user(ADMIN))
            .await?
            .ok_or("nobody can look")?;
        let site = usher
            .config
            .admin
            .as_ref()
            .and_then(|admin| admin.site.as_ref());
        let site = site.ok_or("there are no pages")?;
        let new = NewSession {
            person,
            origin: site.public_url.origin.clone(),
            authenticated_at: now,
            acr: None,
            idp_session: None,
            tokens: Tokens::default(),
            renew_at: None,
            ends_at: None,
        };
        let (cookie, _) = usher
            .sessions
            .create(new, now)
            .await
            .map_err(|error| error.to_string())?;
        let cookie = format!("{}={}", site.cookie_name, cookie.expose());
        Ok(Self { usher, cookie, now })
    }

    async fn page(&self, path: &str) -> Result<Response<String>, http::Error> {
        let request = Request::get(path).header(COOKIE, &self.cookie);
        let asked = PageAsked {
            request_id: "bench",
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now: self.now,
        };
        Ok(pages::answer(&self.usher, request.body(Bytes::new())?, asked).await)
    }

    async fn scim(&self, path: &str) -> Result<Response<String>, http::Error> {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        let asked = ScimAsked {
            idp: "acme",
            path: path.split('?').next().unwrap_or_default(),
            base: "https://usher.corp.example/scim/acme/v2",
            request_id: "bench",
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now: self.now,
        };
        Ok(scim::answer(&self.usher, request.body(Bytes::new())?, asked).await)
    }
}

const PAGES: [&str; 22] = [
    "/",
    "/people",
    "/people?q=fischer",
    "/people?q=corp",
    "/people?q=nobody+at+all",
    "/people?status=invited",
    "/people?q=fischer&status=deactivated",
    "/people/usr_0000000000000000000000000000d431",
    "/invitations",
    "/invitations?show=all",
    "/invitations/new",
    "/identity-providers",
    "/identity-providers/acme",
    "/roles?idp=acme&groups=engineering",
    "/audit",
    "/audit?action=sign_in",
    "/audit?action=sign_in&outcome=no_role",
    "/audit?text=zebulon",
    "/audit?app=wiki&from=2025-12-24&until=2025-12-26",
    "/audit?user=usr_000000000000000000000000000010e1",
    "/audit?actor=token%3Aci",
    "/audit?idp=acme&text=map",
];

/// What SCIM clients ask; the last ones no index serves.
const LISTS: [(&str, u16); 22] = [
    ("/Users", 200),
    ("/Users?startIndex=99900&count=100", 200),
    ("/Users?startIndex=99801&count=200", 200),
    ("/Users?sortBy=userName&startIndex=99900&count=100", 200),
    (
        "/Users?sortBy=userName&sortOrder=descending&startIndex=99900&count=100",
        200,
    ),
    (
        "/Users?sortBy=externalId&sortOrder=descending&startIndex=50000&count=100",
        200,
    ),
    (
        "/Users?sortBy=meta.lastModified&sortOrder=descending&startIndex=99900&count=100",
        200,
    ),
    ("/Users?filter=userName+eq+%22ann.4321%22", 200),
    (
        "/Users?filter=externalId+eq+%22ext-4321%22+and+active+eq+true",
        200,
    ),
    (
        "/Users?filter=emails%5Btype+eq+%22work%22%5D.value+eq+%22ann.4321@corp.example%22",
        200,
    ),
    (
        "/Users?filter=meta.lastModified+ge+%222023-11-16T01:00:00Z%22",
        200,
    ),
    // Nearly as many as are looked at.
    (
        "/Users?filter=meta.lastModified+ge+%222023-11-16T00:55:00Z%22+and+title+sw+%22Engineer+4%22",
        200,
    ),
    ("/Users/scim-0000000000000000000000000000d431", 200),
    ("/Groups?excludedAttributes=members&count=200", 200),
    (
        "/Groups?sortBy=displayName&sortOrder=descending&excludedAttributes=members",
        200,
    ),
    ("/Groups?filter=displayName+eq+%22Group+7%22", 200),
    (
        "/Groups?filter=members.value+eq+%22scim-0000000000000000000000000000d431%22&excludedAttributes=members",
        200,
    ),
    ("/Groups/group-7", 200),
    ("/?count=100", 200),
    ("/Users?filter=title+sw+%22Engineer+4%22", 400),
    ("/Users?filter=active+eq+false", 400),
    ("/Users?sortBy=name.familyName", 400),
];

/// Asks them all.
///
/// # Errors
/// If one is not answered as it should be.
pub(super) async fn all(file: &Path, now: Timestamp) -> Done<()> {
    let desk = Desk::open(file, now).await?;
    for path in PAGES {
        let answer = ask(path, async || desk.page(path).await).await?;
        is_status(path, &answer, 200)?;
    }
    for (path, status) in LISTS {
        let name = format!("SCIM {path}");
        let answer = ask(&name, async || desk.scim(path).await).await?;
        is_status(path, &answer, status)?;
    }
    Ok(())
}

fn is_status(path: &str, answer: &Response<String>, status: u16) -> Done<()> {
    if answer.status().as_u16() == status {
        return Ok(());
    }
    Err(format!("{path}: {} {:.300}", answer.status(), answer.body()).into())
}
