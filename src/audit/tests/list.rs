use super::*;
use crate::audit::{ExportForm, Filter, LogPage};

async fn numbers(audit: &Audit, filter: &Filter) -> Vec<i64> {
    let page = audit.page(filter, None, 500).await.unwrap();
    assert_eq!(page.next, None);
    page.lines.iter().map(|line| line.number).collect()
}

/// Six lines that differ in every field.
async fn various() -> Audit {
    let audit = memory().await;
    let (ann, bob) = (UserId::new("usr_ann"), UserId::new("usr_bob"));
    let (acme, wiki) = (IdpId::new("acme"), AppId::new("wiki"));
    let idp = by(Actor::Idp(acme.clone()));
    let admin = by(Actor::Token("ci".to_owned()));
    let entries = [
        Entry::new(Action::SignIn, &idp, "signed in")
            .about(&ann)
            .at_idp(&acme),
        Entry::new(Action::SignIn, &idp, "100% refused: NO_seat")
            .came_to("no_role")
            .at_idp(&acme),
        Entry::new(Action::Roles, &admin, "an admin set the roles")
            .about(&ann)
            .in_app(&wiki),
        Entry::new(Action::Provisioning, &By::system(), "no seat left")
            .about(&bob)
            .in_app(&wiki)
            .came_to("jit_denied"),
        Entry::new(Action::SessionsEnded, &idp, "signed out").about(&ann),
        Entry::new(Action::System, &By::system(), "the config was reloaded"),
    ];
    for (second, entry) in (1..).zip(&entries) {
        audit.record(entry, at(second)).await.unwrap();
    }
    audit
}

#[tokio::test]
async fn every_filter_finds_its_lines_newest_first() {
    let audit = various().await;
    let none = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    let ann = Some(UserId::new("usr_ann"));
    for (filter, expected) in [
        (none(), &[6, 5, 4, 3, 2, 1][..]),
        (
            Filter {
                user: ann.clone(),
                ..none()
            },
            &[5, 3, 1],
        ),
        (
            Filter {
                actor: text("token:ci"),
                ..none()
            },
            &[3],
        ),
        (
            Filter {
                actor: text("system"),
                ..none()
            },
            &[6, 4],
        ),
        (
            Filter {
                action: text("sign_in"),
                ..none()
            },
            &[2, 1],
        ),
        (
            Filter {
                app: text("wiki"),
                ..none()
            },
            &[4, 3],
        ),
        (
            Filter {
                idp: text("acme"),
                ..none()
            },
            &[2, 1],
        ),
        (
            Filter {
                outcome: text("ok"),
                ..none()
            },
            &[6, 5, 3, 1],
        ),
        (
            Filter {
                outcome: text("jit_denied"),
                ..none()
            },
            &[4],
        ),
        (
            Filter {
                text: text(" SIGNED "),
                ..none()
            },
            &[5, 1],
        ),
        (
            Filter {
                text: text("%"),
                ..none()
            },
            &[2],
        ),
        (
            Filter {
                text: text("no_seat"),
                ..none()
            },
            &[2],
        ),
        (
            Filter {
                from: Some(at(3)),
                ..none()
            },
            &[6, 5, 4, 3],
        ),
        (
            Filter {
                until: Some(at(3)),
                ..none()
            },
            &[2, 1],
        ),
        (
            Filter {
                from: Some(at(2)),
                until: Some(at(4)),
                ..none()
            },
            &[3, 2],
        ),
        (
            Filter {
                user: ann,
                action: text("sign_in"),
                outcome: text("ok"),
                ..none()
            },
            &[1],
        ),
        (
            Filter {
                action: text("sign_in"),
                outcome: text("no_role"),
                text: text("refused"),
                ..none()
            },
            &[2],
        ),
        (
            Filter {
                idp: text("acme"),
                app: text("wiki"),
                ..none()
            },
            &[],
        ),
        (
            Filter {
                user: Some(UserId::new("' OR 1=1 --")),
                ..none()
            },
            &[],
        ),
    ] {
        assert_eq!(numbers(&audit, &filter).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn pages_go_through_all_lines_once_also_within_one_second_and_a_bad_place_begins_anew() {
    let audit = memory().await;
    for number in 1..=9 {
        audit.record(&full(number), at(number / 4)).await.unwrap();
    }
    let filter = Filter {
        app: Some("wiki".to_owned()),
        ..Filter::default()
    };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let LogPage { lines, next, .. } = audit.page(&filter, after.as_deref(), 2).await.unwrap();
        seen.extend(lines.into_iter().map(|line| line.number));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let anew = audit.page(&filter, Some("nonsense"), 1).await.unwrap();
    assert_eq!(anew.lines[0].number, 9);
    assert_eq!(anew.back_to, Some(at(2)));
}

#[tokio::test]
async fn a_page_looks_at_so_many_lines_and_says_where_to_go_on() {
    let audit = memory().await;
    run(
        &audit,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45000) \
         INSERT INTO audit (number, at, action, actor, outcome, why, details, hash) \
         SELECT i, 1800000000 + i, 'sign_in', 'system', 'ok', CASE i WHEN 7 THEN 'needle' ELSE 'hay' END, '{}', '' FROM n",
    )
    .await;
    let filter = Filter {
        text: Some("needle".to_owned()),
        ..Filter::default()
    };
    let first = audit.page(&filter, None, 50).await.unwrap();
    assert!(first.lines.is_empty());
    assert_eq!(first.back_to, Some(at(25_001)));
    let second = audit
        .page(&filter, first.next.as_deref(), 50)
        .await
        .unwrap();
    assert_eq!((second.lines.len(), second.back_to), (0, Some(at(5_001))));
    let last = audit
        .page(&filter, second.next.as_deref(), 50)
        .await
        .unwrap();
    assert_eq!((last.lines[0].number, last.next), (7, None));
    let mut export = audit.export(filter, ExportForm::JsonLines);
    let piece = String::from_utf8(export.next().await.unwrap().unwrap()).unwrap();
    assert!(piece.contains("needle") && piece.lines().count() == 1);
    assert_eq!(export.next().await.unwrap(), None);
}

async fn whole(audit: &Audit, form: ExportForm) -> (String, usize) {
    let mut export = audit.export(Filter::default(), form);
    let (mut text, mut pieces) = (String::new(), 0);
    while let Some(piece) = export.next().await.unwrap() {
        text += &String::from_utf8(piece).unwrap();
        pieces += 1;
    }
    (text, pieces)
}

#[tokio::test]
async fn csv_has_a_header_once_and_no_formula() {
    let audit = memory().await;
    let entry = Entry::new(
        Action::User,
        &by(Actor::Nobody),
        "=HYPERLINK(\"http://evil\"), \"x\"\nnext",
    );
    audit.record(&entry, at(0)).await.unwrap();
    for number in 2..=501 {
        audit.record(&full(number), at(number)).await.unwrap();
    }
    let (text, pieces) = whole(&audit, ExportForm::Csv).await;
    assert_eq!(pieces, 2);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap().len(), 13);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 501);
    assert_eq!(&rows[0][0], "501");
    assert_eq!(&rows[500][8], "'=HYPERLINK(\"http://evil\"), \"x\"\nnext");
    assert_eq!(&rows[0][1], at(501).to_string());
    let (text, _) = whole(&memory().await, ExportForm::Csv).await;
    assert_eq!(text.lines().count(), 1, "a header also without lines");
}

#[tokio::test]
async fn each_query_of_the_list_is_led_by_an_index() {
    let audit = memory().await;
    for (condition, index) in [
        ("", "audit_by_time"),
        ("AND user_id = 'x'", "audit_by_user"),
        ("AND actor = 'x'", "audit_by_actor"),
        ("AND outcome = 'x'", "audit_by_outcome"),
        ("AND app = 'x'", "audit_by_app"),
        ("AND idp = 'x'", "audit_by_idp"),
        (
            "AND action = 'x' AND COALESCE(outcome, '') = 'ok'",
            "audit_by_action",
        ),
    ] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM audit WHERE (at, number) < (5, 5) {condition} \
             ORDER BY at DESC, number DESC LIMIT 51"
        );
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .fetch_all(&audit.store.pool)
            .await
            .unwrap();
        let plan: Vec<_> = plan.into_iter().map(|row| row.3).collect();
        assert!(plan[0].contains(index), "{condition}: {plan:?}");
        assert_eq!(plan.len(), 1, "nothing is sorted: {plan:?}");
    }
}
