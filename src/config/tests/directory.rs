//! `admin`, `local_accounts`, `mail`, `audit` and `scim`.

use super::*;
use crate::config::ScimMatch;

const TOKEN: &str = "c2VjcmV0LW9mLXRoZS1hZG1pbi1hcGkK";

fn admin(more: &str) -> String {
    format!("admin: {{ listen: '127.0.0.1:4181', {more} }}")
}

fn scim(block: &str) -> String {
    SMALL.replace("    oidc:", &format!("    scim: {block}\n    oidc:"))
}

#[test]
fn the_admin_pages_have_a_site_and_a_cookie_of_their_own() {
    let top = admin(&format!(
        "token: {TOKEN}, public_url: 'https://usher.corp.example', allow: {{ groups: {{ acme: [ops, it] }} }}"
    ));
    let config = good(&with(&top, ""));
    let admin = config.admin.as_ref().unwrap();
    let site = admin.site.as_ref().unwrap();
    assert_eq!(site.public_url.origin, "https://usher.corp.example");
    assert_eq!(site.cookie_name, "__Host-usher-admin");
    assert!(site.apps.is_empty());
    assert_eq!(
        admin.allow_groups,
        [("acme", "ops"), ("acme", "it")].map(|(idp, group)| (IdpId::new(idp), group.to_owned()))
    );
    assert_eq!(admin.token.as_ref().unwrap().expose(), TOKEN);
    assert!(!format!("{config:?}").contains(TOKEN));
}

#[test]
fn refuses_an_admin_listener_that_cannot_work() {
    let pages = |url: &str, allow: &str| admin(&format!("public_url: '{url}', {allow}"));
    let allow = "allow: { groups: { acme: [ops] } }";
    for (top, what) in [
        (admin("token: short"), "must be at least 32 characters"),
        (
            "admin: { listen: '127.0.0.1:4180' }".to_owned(),
            "is the address of `listen`",
        ),
        (
            "metrics: { listen: '127.0.0.1:4181' }\nadmin: { listen: '0.0.0.0:4181' }".to_owned(),
            "is the address of `metrics.listen`",
        ),
        (
            pages("http://localhost:4180", allow),
            "is the origin of the app `wiki`",
        ),
        (pages("http://usher.corp.example", allow), "is plain HTTP"),
        (pages("https://usher.corp.example", ""), "names nobody"),
        (
            admin("allow: { groups: { acmee: [ops] } }"),
            "no identity provider has the id `acmee`",
        ),
    ] {
        refuses(&with(&top, ""), what);
    }
}

#[test]
fn scim_has_tokens_and_says_how_people_are_found() {
    let text = scim(&format!(
        "{{ token: [{TOKEN}], match: {{ scim: userName, attribute: oid }} }}"
    ));
    let config = good(&text);
    let known = config.idps[0].scim.as_ref().unwrap();
    assert_eq!(known.tokens.len(), 1);
    assert_eq!(known.match_on, ScimMatch::UserName);
    assert_eq!(known.match_attribute.as_deref(), Some("oid"));
    let config = good(&scim(&format!("{{ token: {TOKEN} }}")));
    let known = config.idps[0].scim.as_ref().unwrap();
    assert_eq!(known.match_on, ScimMatch::ExternalId);
    assert_eq!(known.match_attribute, None);
    refuses(&scim("{ token: short }"), "must be at least 32 characters");
    refuses(
        &scim(&format!("{{ token: {TOKEN}, match: {{ scim: id }} }}")),
        "cannot be `id`",
    );
}

#[test]
fn a_required_audit_needs_a_file() {
    let config = good(&with(
        "audit: { file: /var/log/usher.jsonl, required: true }",
        "",
    ));
    assert!(config.audit.required && config.audit.file.is_some());
    refuses(&with("audit: { required: true }", ""), "requires nothing");
    assert_eq!(good(SMALL).audit.keep_for.as_secs(), 400 * 24 * 3600);
}

#[test]
fn the_fingerprint_of_an_idp_changes_with_its_part_of_the_file_alone() {
    let before = good(SMALL).idps[0].fingerprint.clone();
    let moved = good(&format!("\n\n# a remark\n{SMALL}"));
    assert_eq!(moved.idps[0].fingerprint, before);
    let elsewhere = good(&with("audit: { keep_for: 1d }", ""));
    assert_eq!(elsewhere.idps[0].fingerprint, before);
    let changed = good(&SMALL.replace("client_id: usher", "client_id: other"));
    assert_ne!(changed.idps[0].fingerprint, before);
    assert!(!before.is_empty());
}

#[test]
fn mail_is_a_url_or_a_mapping_with_the_sender() {
    let mail = |top: &str| {
        let config = good(&with(top, ""));
        let mail = config.mail.unwrap();
        (mail.url.expose().to_owned(), mail.from)
    };
    let here = "usher@localhost".to_owned();
    assert_eq!(
        mail("mail: smtp://relay.corp.example:25"),
        ("smtp://relay.corp.example:25".to_owned(), here.clone())
    );
    let secret = "smtps://usher:pass@mail.corp.example".to_owned();
    assert_eq!(
        mail("mail: { env: USHER_MAIL_URL }"),
        (secret.clone(), here)
    );
    assert_eq!(
        mail("mail: { url: { env: USHER_MAIL_URL }, from: 'Corp <it@corp.example>' }"),
        (secret, "Corp <it@corp.example>".to_owned())
    );
    assert!(!format!("{:?}", good(&with("mail: smtps://u:hunter2@h", ""))).contains("hunter2"));
}

#[test]
fn refuses_mail_that_cannot_be_sent() {
    for (top, what) in [
        ("mail: relay.corp.example", "is no URL"),
        (
            "mail: https://relay.corp.example",
            "must begin with `smtp://`",
        ),
        ("mail: 'smtp:'", "names no host"),
        (
            "mail: smtps://usher@mail.corp.example",
            "both user and password",
        ),
        ("mail: smtp://mail.corp.example?tls=yes", "may have only"),
        (
            "mail: smtps://mail.corp.example?tls=opportunistic",
            "may have only",
        ),
        (
            "mail: { url: 'smtp://localhost', from: nobody }",
            "is no sender",
        ),
        ("mail: { url: 'smtp://localhost' }", "from"),
    ] {
        refuses(&with(top, ""), what);
    }
    let shown = problems(&with("mail: ftp://u:hunter2@h", ""));
    assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
}
