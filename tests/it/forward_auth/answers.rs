//! Which requests may pass, by rules, hosts, paths and what the proxy asks for besides.

use super::{FRONTS, Front, Question, USHER_FIELDS, company, denies, passes_as_nobody};
use crate::support::company::page;

const GRAFANA_FIELDS: [&str; 5] = [
    "x-webauth-user",
    "x-webauth-email",
    "x-webauth-name",
    "x-webauth-role",
    "x-webauth-groups",
];

const REMOTE_FIELDS: [&str; 4] = [
    "remote-user",
    "remote-groups",
    "remote-name",
    "remote-email",
];

#[tokio::test]
async fn a_path_for_anyone_passes_with_all_fields_empty() {
    let company = company().await;
    let (alice, _) = company.signed_in("alice", "/").await;
    let (nora, _) = company.signed_in("nora", "/").await;
    let usher = company.usher.public();
    for front in FRONTS {
        let public = Question::of(front, "/public/logo.svg").field("X-Forwarded-User", "root");
        let answer = public.ask(usher).await;
        assert!(
            passes_as_nobody(&answer, &USHER_FIELDS),
            "{front:?} {answer:?}"
        );
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        let answer = public.clone().by(&nora).ask(usher).await;
        assert!(
            passes_as_nobody(&answer, &USHER_FIELDS),
            "{front:?} {answer:?}"
        );
        let answer = public.by(&alice).ask(usher).await;
        assert_eq!(
            answer.header("x-forwarded-name").as_deref(),
            Some("Alice Adams")
        );
    }
}

#[tokio::test]
async fn the_method_that_is_asked_about_is_the_one_that_counts() {
    let company = company().await;
    let usher = company.usher.public();
    for front in FRONTS {
        for (method, target, status) in [
            ("GET", "/tasks/open/1", 200),
            ("HEAD", "/tasks/open/1", 200),
            ("POST", "/tasks/open/1", 401),
            ("get", "/tasks/open/1", 401),
            // A preflight of CORS, by a rule.
            ("OPTIONS", "/tasks/1", 200),
            ("options", "/tasks/1", 401),
            ("PROPFIND", "/tasks/1", 401),
            ("OPTIONS", "/page", 401),
        ] {
            let asked = Question::of(front, target).method(method);
            let answer = asked.ask(usher).await;
            assert_eq!(answer.status, status, "{front:?} {method} {target}");
            if status == 200 {
                assert!(passes_as_nobody(&answer, &REMOTE_FIELDS), "{answer:?}");
            }
        }
        let traced = Question::of(front, "/public/x").method("TRACE");
        assert!(
            denies(&traced.ask(usher).await, front.instead_of(405)),
            "{front:?}"
        );
    }
}

#[tokio::test]
async fn ext_authz_answers_head_and_post_as_what_they_are() {
    let company = company().await;
    let (browser, _) = company.signed_in("alice", "/").await;
    let usher = company.usher.public();
    let head = Question::of(Front::Envoy, "/page")
        .method("HEAD")
        .navigation();
    let answer = head.ask(usher).await;
    assert!(denies(&answer, 302) && answer.body.is_empty(), "{answer:?}");
    assert_eq!(head.by(&browser).ask(usher).await.status, 200);
    let post = Question::of(Front::Envoy, "/page?x=1")
        .method("POST")
        .field("Content-Length", "0");
    assert!(denies(&post.ask(usher).await, 401));
    assert_eq!(post.by(&browser).ask(usher).await.status, 200);
    // A HEAD that is asked about by GET gets its answer whole.
    let answer = Question::of(Front::Traefik, "/page")
        .method("HEAD")
        .ask(usher)
        .await;
    assert!(answer.complete && answer.json()["error"] == "sign_in_required");
}

#[tokio::test]
async fn each_app_is_found_by_host_and_path() {
    let company = company().await;
    let (alice, _) = company.signed_in("alice", "/").await;
    let usher = company.usher.public();
    for front in FRONTS {
        let blog = Question::of(front, "/post").host("blog.test");
        assert!(
            passes_as_nobody(&blog.ask(usher).await, &GRAFANA_FIELDS),
            "{front:?}"
        );
        let secret = Question::of(front, "/secret/x")
            .host("blog.test")
            .navigation();
        let answer = secret.ask(usher).await;
        let location = answer.header("location").unwrap();
        assert_eq!(
            location,
            "https://blog.test/_usher/sign-in?return_to=%2Fsecret%2Fx"
        );
        // A session counts only at its own origin.
        assert!(denies(
            &secret.by(&alice).ask(usher).await,
            front.needs_sign_in()
        ));
        for host in ["WIKI.test", "wiki.TEST:443", "wiki.test:443"] {
            let answer = Question::of(front, "/")
                .host(host)
                .by(&alice)
                .ask(usher)
                .await;
            assert_eq!(answer.status, 200, "{front:?} {host}");
        }
        for host in ["wiki.test:8443", "wiki.test:80"] {
            let answer = Question::of(front, "/")
                .host(host)
                .by(&alice)
                .ask(usher)
                .await;
            assert!(denies(&answer, 401), "{front:?} {host}");
        }
        let answer = Question::of(front, "/public/x")
            .host("other.test")
            .ask(usher)
            .await;
        assert!(denies(&answer, front.instead_of(421)), "{front:?}");
        let tasks = Question::of(front, "/tasks").by(&alice).ask(usher).await;
        assert_eq!(
            tasks.header("remote-email").as_deref(),
            Some("alice@example.com")
        );
        assert_eq!(tasks.header("x-forwarded-user"), None);
        // The rules of one app do not decide on what another could read.
        for target in [
            "/tasks/../admin/x",
            "/tasks/..%2fadmin/x",
            "/tasks;/admin/x",
        ] {
            let answer = Question::of(front, target).by(&alice).ask(usher).await;
            assert!(
                denies(&answer, front.malformed()),
                "{front:?} {target} {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_app_without_an_upstream_is_not_forwarded_to() {
    let company = company().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let answer = browser.open(&page("/tasks/1")).await.unwrap();
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("no upstream"), "{}", answer.text());
    assert_eq!(company.app.seen().len(), 1);
}

#[tokio::test]
async fn the_way_to_the_sign_in_stays_open_whatever_the_rules_say() {
    let company = company().await;
    let usher = company.usher.public();
    let all: Vec<_> = USHER_FIELDS.iter().chain(&REMOTE_FIELDS).copied().collect();
    for front in FRONTS {
        for target in [
            "/_usher/sign-in?return_to=/",
            "/_usher/oidc/acme/callback?code=x",
            "/_usher",
        ] {
            let answer = Question::of(front, target).navigation().ask(usher).await;
            assert!(
                passes_as_nobody(&answer, &all),
                "{front:?} {target} {answer:?}"
            );
        }
        for target in [
            "/_usher/../page",
            "/_usher/..%2fpage",
            "/_usher/%2e%2e/page",
            "/_usher/x/..;/../page",
            "/page/../_usher/sign-in",
            "/%5fusher/../page",
        ] {
            let answer = Question::of(front, target).ask(usher).await;
            assert!(
                denies(&answer, front.malformed()),
                "{front:?} {target} {answer:?}"
            );
        }
        // What a proxy is told is not for its clients.
        for target in [
            "/_usher/auth",
            "/_usher/forward-auth?x=y",
            "/_usher/ext-authz/page",
            "/_usher/x/../auth",
            "/_usher/%61uth",
        ] {
            let answer = Question::of(front, target).ask(usher).await;
            assert!(
                denies(&answer, front.instead_of(404)),
                "{front:?} {target} {answer:?}"
            );
        }
        for target in ["/_Usher/sign-in", "/_usherx", "/x/_usher/sign-in"] {
            let answer = Question::of(front, target).ask(usher).await;
            assert!(denies(&answer, 401), "{front:?} {target} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_proxy_may_ask_for_roles_and_groups_on_top_of_the_rules() {
    let company = company().await;
    let (alice, _) = company.signed_in("alice", "/").await;
    let (bob, _) = company.signed_in("bob", "/").await;
    let (nora, _) = company.signed_in("nora", "/").await;
    let usher = company.usher.public();
    for front in [Front::Nginx, Front::Ingress, Front::Traefik] {
        for (target, query, for_alice, for_bob) in [
            ("/", "allowed_roles=editor", 200, 200),
            ("/", "allowed_roles=admin", 403, 200),
            ("/", "allowed_roles=viewer,admin", 403, 200),
            ("/", "allowed_roles=viewer&allowed_roles=editor", 200, 200),
            ("/", "allowed_groups=engineering", 200, 200),
            ("/", "allowed_groups=Engineering", 403, 403),
            ("/", "allowed_groups=ops,admins", 403, 200),
            (
                "/",
                "allowed_groups=engineering&allowed_roles=admin",
                403,
                200,
            ),
            ("/", "allowed_groups=ops&allowed_roles=editor", 403, 403),
            // Never instead of the rules, and on paths for anyone too.
            ("/admin/x", "allowed_roles=editor", 403, 200),
            ("/public/x", "allowed_roles=admin", 403, 200),
        ] {
            let asked = Question::of(front, target).query(query);
            for (browser, status) in [(&alice, for_alice), (&bob, for_bob)] {
                let answer = asked.clone().by(browser).ask(usher).await;
                assert_eq!(answer.status, status, "{front:?} {target} {query}");
            }
            let answer = asked.clone().by(&nora).ask(usher).await;
            assert!(
                denies(&answer, 403),
                "{front:?} {target} {query} {answer:?}"
            );
            assert!(
                denies(&asked.ask(usher).await, 401),
                "{front:?} {target} {query}"
            );
        }
    }
    // The query of ext-authz is its client's.
    let asked = Question::of(Front::Envoy, "/public/x?allowed_roles=admin&x=1");
    assert_eq!(asked.ask(usher).await.status, 200);
}

#[tokio::test]
async fn a_restriction_that_is_not_understood_lets_nobody_pass() {
    let company = company().await;
    let (bob, _) = company.signed_in("bob", "/").await;
    let usher = company.usher.public();
    for front in [Front::Nginx, Front::Ingress, Front::Traefik] {
        for (target, query) in [
            ("/", "allowed_emails=bob@example.com"),
            ("/", "allowed_roles=admin&allowed_email_domains=example.com"),
            ("/", "allowed_roles="),
            ("/", "allowed_roles=admin,"),
            ("/", "allowed_groups"),
            ("/", "allowed_roles=owner"),
            ("/", "allowed_roles=admin,owner"),
            ("/", "allowed_roles=Admin"),
            ("/", "allowed_roles=member"),
            ("/tasks", "allowed_roles=admin"),
            ("/public/x", "x=y"),
            ("/_usher/sign-in", "x=y"),
        ] {
            let asked = Question::of(front, target).query(query).by(&bob);
            let answer = asked.ask(usher).await;
            assert!(
                denies(&answer, front.malformed()),
                "{front:?} {target} {query} {answer:?}"
            );
            let said = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(said.contains("in the URL of the endpoint"), "{said}");
        }
    }
}
