#![allow(clippy::unwrap_used, clippy::panic)]
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::audit::By;
use crate::config::StoreConfig;
use crate::directory::scim::UserData;
use crate::directory::{AdmitError, Block, BlockSource, JoinRule, NewCredential};
use crate::identity::{Attributes, GrantSource, IdpId, Person, Protocol, Subject};
use crate::secret::Secret;
use crate::store::Store;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn later(hours: i64) -> Timestamp {
    now() + SignedDuration::from_hours(hours)
}

async fn memory() -> Directory {
    Directory::over(Store::open(&StoreConfig::Memory).await.unwrap())
}

fn new(email: &str) -> NewInvitation {
    NewInvitation {
        email: email.to_owned(),
        name: Some("Ann Adams".to_owned()),
        grants: vec![
            (AppId::new("wiki"), vec![Role::new("editor")]),
            (AppId::new("files"), vec![]),
        ],
        password: false,
        break_glass: false,
        expires_at: later(24),
    }
}

fn subject(idp: &str, value: &str) -> Subject {
    Subject {
        idp: IdpId::new(idp),
        protocol: Protocol::Oidc,
        issuer: format!("https://{idp}.example"),
        format: String::new(),
        value: value.to_owned(),
    }
}

fn says(email: &str, verified: Option<bool>) -> Attributes {
    Attributes {
        email: Some(email.to_owned()),
        email_verified: verified,
        ..Attributes::default()
    }
}

async fn invite(directory: &Directory, new: &NewInvitation) -> (Invitation, Secret) {
    directory.invite(new, &By::system(), now()).await.unwrap()
}

async fn sign_in(
    directory: &Directory,
    subject: &Subject,
    attributes: &Attributes,
) -> Result<Person, AdmitError> {
    directory.admit(subject, attributes, None, later(1)).await
}

async fn count(directory: &Directory, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(&directory.store.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_verified_sign_in_accepts_it_and_has_its_roles() {
    let directory = memory().await;
    let (invitation, token) = invite(&directory, &new("Ann@Acme.example")).await;
    let ann = says("ann@acme.example", Some(true));
    let person = sign_in(&directory, &subject("acme", "1"), &ann)
        .await
        .unwrap();
    assert_eq!(person.user, invitation.user);
    let grants: Vec<_> = person
        .grants
        .iter()
        .map(|grant| {
            (
                grant.app.as_str(),
                grant.role.as_ref().map(Role::as_str),
                grant.source,
            )
        })
        .collect();
    let by = GrantSource::Invitation;
    assert_eq!(grants, [("files", None, by), ("wiki", Some("editor"), by)]);
    let link = directory.invitation_of_link(token.expose(), later(1)).await;
    assert!(matches!(link.unwrap(), Link::Used));
    assert_eq!(count(&directory, "SELECT invited FROM users").await, 0);
    // Used up: the address, given to somebody else there, is no key to it.
    let other = sign_in(&directory, &subject("acme", "2"), &ann).await;
    assert!(matches!(other, Err(AdmitError::EmailTaken(_))), "{other:?}");
}

#[tokio::test]
async fn an_address_counts_only_where_the_idp_vouches_for_it() {
    let directory = memory().await;
    let (invitation, _) = invite(&directory, &new("ann@acme.example")).await;
    for verified in [None, Some(false)] {
        let ann = says("ann@acme.example", verified);
        let refused = sign_in(&directory, &subject("globex", "1"), &ann).await;
        assert!(
            matches!(refused, Err(AdmitError::EmailTaken(_))),
            "{refused:?}"
        );
    }
    let own = |domain: &str| JoinRule {
        own_domains: vec![domain.to_owned()],
        ..JoinRule::default()
    };
    let silent = says("ann@acme.example", None);
    let acme = subject("acme", "1");
    for (rule, accepted) in [(own("globex.example"), false), (own("acme.example"), true)] {
        let person = directory.admit(&acme, &silent, Some(&rule), later(1)).await;
        let user = person.ok().map(|person| person.user);
        assert_eq!(user, accepted.then(|| invitation.user.clone()));
    }
}

#[tokio::test]
async fn what_expired_or_was_withdrawn_gives_nothing_and_holds_nothing() {
    for withdraw in [false, true] {
        let directory = memory().await;
        let (invitation, token) = invite(&directory, &new("ann@acme.example")).await;
        let at = if withdraw { later(1) } else { later(25) };
        if withdraw {
            let by = By::system();
            assert!(
                directory
                    .withdraw_invitation(&invitation.id, &by, at)
                    .await
                    .unwrap()
            );
            assert!(
                !directory
                    .withdraw_invitation(&invitation.id, &by, at)
                    .await
                    .unwrap()
            );
            assert_eq!(count(&directory, "SELECT COUNT(*) FROM users").await, 0);
            assert_eq!(
                count(&directory, "SELECT COUNT(*) FROM held_names").await,
                0
            );
        }
        let link = directory
            .invitation_of_link(token.expose(), at)
            .await
            .unwrap();
        assert!(matches!(
            (withdraw, link),
            (true, Link::Withdrawn) | (false, Link::Expired)
        ));
        let ann = says("ann@acme.example", Some(true));
        let person = directory
            .admit(&subject("acme", "1"), &ann, None, at)
            .await
            .unwrap();
        assert_ne!(person.user, invitation.user);
        assert!(person.grants.is_empty());
        assert_eq!(count(&directory, "SELECT COUNT(*) FROM users").await, 1);
    }
}

#[tokio::test]
async fn who_never_came_is_forgotten_once_it_is_over() {
    let directory = memory().await;
    invite(&directory, &new("ann@acme.example")).await;
    invite(
        &directory,
        &NewInvitation {
            expires_at: later(99),
            ..new("bob@acme.example")
        },
    )
    .await;
    directory.sweep_invitations(later(1)).await.unwrap();
    assert_eq!(count(&directory, "SELECT COUNT(*) FROM users").await, 2);
    directory.sweep_invitations(later(25)).await.unwrap();
    assert_eq!(count(&directory, "SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(
        count(&directory, "SELECT COUNT(*) FROM invitations").await,
        2
    );
}

#[tokio::test]
async fn inviting_again_gives_a_new_link_with_the_new_roles_and_ends_the_former() {
    let directory = memory().await;
    let (first, old) = invite(&directory, &new("ann@acme.example")).await;
    let again = NewInvitation {
        grants: vec![(AppId::new("wiki"), vec![Role::new("viewer")])],
        ..new("ANN@acme.example")
    };
    let (second, token) = invite(&directory, &again).await;
    assert_eq!(first.user, second.user);
    let link = directory
        .invitation_of_link(old.expose(), now())
        .await
        .unwrap();
    assert!(matches!(link, Link::Withdrawn));
    let link = directory
        .invitation_of_link(token.expose(), now())
        .await
        .unwrap();
    assert!(matches!(link, Link::Open(open) if open.id == second.id));
    let ann = says("ann@acme.example", Some(true));
    let person = sign_in(&directory, &subject("acme", "1"), &ann)
        .await
        .unwrap();
    let roles: Vec<_> = person
        .grants
        .iter()
        .filter_map(|grant| grant.role.clone())
        .collect();
    assert_eq!(roles, [Role::new("viewer")]);
    let link = directory
        .invitation_of_link(token.expose(), later(1))
        .await
        .unwrap();
    assert!(matches!(link, Link::Used), "{link:?}");
}

#[tokio::test]
async fn somebody_who_is_here_is_not_invited_but_may_get_a_link_for_a_password() {
    let directory = memory().await;
    let ann = says("ann@acme.example", Some(true));
    let person = sign_in(&directory, &subject("acme", "1"), &ann)
        .await
        .unwrap();
    let by = By::system();
    let plain = directory.invite(&new("ann@acme.example"), &by, now()).await;
    assert!(matches!(plain, Err(InviteError::Known(user)) if user == person.user));
    let password = NewInvitation {
        password: true,
        ..new("ann@acme.example")
    };
    let (invitation, _) = invite(&directory, &password).await;
    assert_eq!(invitation.user, person.user);
    // That link is no invitation: nobody else becomes that user by the address.
    let other = sign_in(&directory, &subject("globex", "1"), &ann).await;
    assert!(matches!(other, Err(AdmitError::EmailTaken(_))), "{other:?}");
    // Nor does a username in the shape of somebody's address make its holder that somebody.
    let mallory = Attributes {
        username: Some("carl@acme.example".to_owned()),
        ..says("mallory@acme.example", Some(true))
    };
    sign_in(&directory, &subject("acme", "2"), &mallory)
        .await
        .unwrap();
    let carl = NewInvitation {
        password: true,
        ..new("carl@acme.example")
    };
    assert!(matches!(
        directory.invite(&carl, &by, now()).await,
        Err(InviteError::Known(_))
    ));
}

#[tokio::test]
async fn what_is_no_address_or_over_already_is_refused() {
    let directory = memory().await;
    let by = By::system();
    let long = format!("{}@acme.example", "a".repeat(250));
    for email in [
        "",
        "ann",
        "@acme.example",
        "ann@",
        "ann@acme.example\r\nBcc: x@y.example",
        "\"a b\"@acme.example",
        "ann@[127.0.0.1]",
        "Ann <ann@acme.example>",
        &long,
    ] {
        let refused = directory.invite(&new(email), &by, now()).await;
        assert!(matches!(refused, Err(InviteError::Email(_))), "{email}");
    }
    let over = NewInvitation {
        expires_at: now(),
        ..new("ann@acme.example")
    };
    assert!(matches!(
        directory.invite(&over, &by, now()).await,
        Err(InviteError::Invalid(_))
    ));
    assert_eq!(count(&directory, "SELECT COUNT(*) FROM users").await, 0);
}

#[tokio::test]
async fn the_list_is_newest_first_in_pages() {
    let directory = memory().await;
    for number in 0..5 {
        let at = now() + SignedDuration::from_secs(number / 2);
        let new = new(&format!("p{number}@acme.example"));
        directory.invite(&new, &By::system(), at).await.unwrap();
    }
    let (mut after, mut seen): (Option<String>, Vec<String>) = (None, Vec::new());
    loop {
        let find = FindInvitations {
            open_only: true,
            after: after.as_deref(),
            limit: 2,
        };
        let page = directory.invitations(&find, later(1)).await.unwrap();
        assert_eq!(page.total, 5);
        seen.extend(
            page.items
                .into_iter()
                .map(|one| one.new.email[..2].to_owned()),
        );
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["p4", "p3", "p2", "p1", "p0"]);
    let find = FindInvitations {
        open_only: true,
        after: None,
        limit: 2,
    };
    assert_eq!(
        directory.invitations(&find, later(25)).await.unwrap().total,
        0
    );
    let find = FindInvitations {
        open_only: false,
        ..find
    };
    assert_eq!(
        directory.invitations(&find, later(25)).await.unwrap().total,
        5
    );
}

#[tokio::test]
async fn a_blocked_user_is_not_let_in_by_an_invitation() {
    let directory = memory().await;
    let (invitation, _) = invite(&directory, &new("ann@acme.example")).await;
    sqlx::query("UPDATE users SET active = 0 WHERE id = $1")
        .bind(invitation.user.as_str())
        .execute(directory.store.writer())
        .await
        .unwrap();
    let ann = says("ann@acme.example", Some(true));
    let refused = sign_in(&directory, &subject("acme", "1"), &ann).await;
    assert!(
        matches!(refused, Err(AdmitError::Deactivated { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn every_step_leaves_a_line_in_the_log() {
    let directory = memory().await;
    let (invitation, _) = invite(&directory, &new("ann@acme.example")).await;
    let ann = says("ann@acme.example", Some(true));
    sign_in(&directory, &subject("acme", "1"), &ann)
        .await
        .unwrap();
    let (other, token) = invite(&directory, &new("bob@acme.example")).await;
    directory
        .withdraw_invitation(&other.id, &By::system(), now())
        .await
        .unwrap();
    let lines: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT why, user_id, details FROM audit WHERE action = 'invitation' ORDER BY number",
    )
    .fetch_all(&directory.store.pool)
    .await
    .unwrap();
    let said: Vec<_> = lines
        .iter()
        .map(|(why, user, _)| (why.as_str(), user.as_str()))
        .collect();
    let (ann, bob) = (invitation.user.as_str(), other.user.as_str());
    assert_eq!(
        said,
        [
            ("invited", ann),
            ("accepted by a sign-in", ann),
            ("invited", bob),
            ("withdrawn", bob)
        ]
    );
    assert!(
        lines
            .iter()
            .all(|(_, _, details)| !details.contains(token.expose()))
    );
}

#[tokio::test]
async fn single_sign_on_never_leads_into_an_account_for_emergencies() {
    let directory = memory().await;
    let emergency = NewInvitation {
        break_glass: true,
        ..new("root@acme.example")
    };
    let (invitation, token) = invite(&directory, &emergency).await;
    let root = says("root@acme.example", Some(true));
    let acme = subject("acme", "1");
    let refused = sign_in(&directory, &acme, &root).await;
    assert!(
        matches!(refused, Err(AdmitError::EmailTaken(_))),
        "{refused:?}"
    );
    let credential = crate::directory::NewCredential {
        login_key: "root@acme.example".to_owned(),
        password_hash: "hash".to_owned(),
        totp_sealed: "sealed".to_owned(),
        totp_step: 7,
    };
    let by = By::system();
    let set = directory
        .set_credential(token.expose(), &credential, &by, now())
        .await
        .unwrap();
    assert_eq!((&set.user, set.break_glass), (&invitation.user, true));
    let refused = sign_in(&directory, &acme, &root).await;
    assert!(
        matches!(refused, Err(AdmitError::EmailTaken(_))),
        "{refused:?}"
    );
    // The same link does not set another password.
    let again = directory
        .set_credential(token.expose(), &credential, &by, now())
        .await;
    assert!(matches!(
        again,
        Err(crate::directory::SetError::Link(Link::Used))
    ));
}

/// A SCIM client knows the person too: the user stays when the invitation is over.
async fn known_to_scim(directory: &Directory, user: &UserId) {
    sqlx::query(
        "INSERT INTO subjects (idp, issuer, format, value, protocol, user_id, attributes, created_at, signed_in_at) \
         VALUES ('acme', '', 'scim', 'r1', 'scim', $1, $2, 0, 0)",
    )
    .bind(user.as_str())
    .bind(serde_json::to_string(&Attributes::default()).unwrap())
    .execute(directory.store.writer())
    .await
    .unwrap();
}

async fn block(directory: &Directory, user: &UserId) {
    let block = Block {
        source: BlockSource::Admin,
        deleted: false,
        why: "left".to_owned(),
        at: now(),
    };
    let by = By::system();
    assert!(directory.block(user, &block, &by).await.unwrap());
}

async fn set_password(directory: &Directory, link: &Secret, email: &str) {
    let credential = NewCredential {
        login_key: email.to_owned(),
        password_hash: "hash".to_owned(),
        totp_sealed: "sealed".to_owned(),
        totp_step: 7,
    };
    let by = By::system();
    let set = directory.set_credential(link.expose(), &credential, &by, now());
    set.await.unwrap();
}

#[tokio::test]
async fn what_is_over_lets_nobody_in_and_takes_its_roles_along_where_the_user_stays() {
    for withdraw in [false, true] {
        let directory = memory().await;
        let (invitation, _) = invite(&directory, &new("ann@acme.example")).await;
        known_to_scim(&directory, &invitation.user).await;
        let at = if withdraw { later(1) } else { later(25) };
        let by = By::system();
        let withdrawn = directory.withdraw_invitation(&invitation.id, &by, at).await;
        assert_eq!(
            withdrawn.unwrap(),
            withdraw,
            "what expired is not withdrawn"
        );
        let ann = says("ann@acme.example", Some(true));
        let refused = directory
            .admit(&subject("globex", "1"), &ann, None, at)
            .await;
        assert!(
            matches!(refused, Err(AdmitError::EmailTaken(_))),
            "{withdraw}: {refused:?}"
        );
        assert_eq!(count(&directory, "SELECT COUNT(*) FROM users").await, 1);
        if withdraw {
            assert_eq!(count(&directory, "SELECT COUNT(*) FROM grants").await, 0);
        }
    }
}

#[tokio::test]
async fn an_address_that_is_merely_like_the_invited_one_is_not_it() {
    let directory = memory().await;
    invite(&directory, &new("ann@acme.example")).await;
    let like = says("\u{ff41}nn@acme.example", Some(true));
    let refused = sign_in(&directory, &subject("acme", "1"), &like).await;
    assert!(
        matches!(refused, Err(AdmitError::EmailTaken(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_was_accepted_is_not_withdrawn() {
    let directory = memory().await;
    let (invitation, _) = invite(&directory, &new("ann@acme.example")).await;
    let ann = says("ann@acme.example", Some(true));
    sign_in(&directory, &subject("acme", "1"), &ann)
        .await
        .unwrap();
    let by = By::system();
    let withdrawn = directory.withdraw_invitation(&invitation.id, &by, later(1));
    assert!(!withdrawn.await.unwrap());
    let person = directory.person(&subject("acme", "1")).await.unwrap();
    assert_eq!(person.unwrap().grants.len(), 2);
}

#[tokio::test]
async fn a_link_for_a_password_lets_nobody_in_at_whom_scim_made() {
    let directory = memory().await;
    let data = UserData {
        user_name: "ann".to_owned(),
        external_id: None,
        match_value: None,
        by_subject: true,
        active: true,
        attributes: says("ann@acme.example", None),
        document: serde_json::Map::new(),
    };
    let idp = IdpId::new("acme");
    let mut write = directory
        .scim_write(&idp, By::system(), now())
        .await
        .unwrap();
    let made = write.create_user(&data).await.unwrap();
    write.commit().await.unwrap();
    let password = NewInvitation {
        password: true,
        ..new("ann@acme.example")
    };
    let (invitation, _) = invite(&directory, &password).await;
    assert_eq!(invitation.user, made.user);
    let ann = says("ann@acme.example", Some(true));
    let refused = sign_in(&directory, &subject("globex", "1"), &ann).await;
    assert!(
        matches!(refused, Err(AdmitError::EmailTaken(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn somebody_with_a_password_is_joined_by_the_first_identity_alone_and_only_while_active() {
    let ann = says("ann@acme.example", Some(true));
    for blocked in [false, true] {
        let directory = memory().await;
        let password = NewInvitation {
            password: true,
            ..new("ann@acme.example")
        };
        let (invitation, link) = invite(&directory, &password).await;
        set_password(&directory, &link, "ann@acme.example").await;
        if blocked {
            block(&directory, &invitation.user).await;
        }
        let first = sign_in(&directory, &subject("acme", "1"), &ann).await;
        if blocked {
            assert!(
                matches!(first, Err(AdmitError::Deactivated { .. })),
                "{first:?}"
            );
            continue;
        }
        assert_eq!(first.unwrap().user, invitation.user);
        let second = sign_in(&directory, &subject("globex", "1"), &ann).await;
        assert!(
            matches!(second, Err(AdmitError::EmailTaken(_))),
            "{second:?}"
        );
    }
}

#[tokio::test]
async fn who_is_deactivated_is_not_invited() {
    let by = By::system();
    for here in [false, true] {
        let directory = memory().await;
        let user = if here {
            let ann = says("ann@acme.example", Some(true));
            let person = sign_in(&directory, &subject("acme", "1"), &ann).await;
            person.unwrap().user
        } else {
            invite(&directory, &new("ann@acme.example")).await.0.user
        };
        block(&directory, &user).await;
        for password in [false, true] {
            let again = NewInvitation {
                password,
                ..new("ann@acme.example")
            };
            let refused = directory.invite(&again, &by, now()).await;
            assert!(
                matches!(refused, Err(InviteError::Known(_))),
                "{here} {password}: {refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn names_are_printable_and_short() {
    let directory = memory().await;
    let odd = NewInvitation {
        name: Some(format!(" Ann\r\nBcc: x\u{7}{}", "n".repeat(300))),
        ..new("ann@acme.example")
    };
    let (invitation, _) = invite(&directory, &odd).await;
    let name = invitation.new.name.unwrap();
    assert!(name.starts_with("AnnBcc: xn"), "{name}");
    assert!(name.chars().count() <= 200, "{name}");
}
