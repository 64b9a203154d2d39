//! Sessions as admins see and end them.

use super::*;

#[tokio::test]
async fn lists_those_of_a_user_newest_first_without_the_idle_ones() {
    let house = house().await;
    let (_, first) = house.sign_in().await;
    let (_, second) = {
        let made = house.sessions.create(house.new_session(), at(60)).await;
        made.unwrap()
    };
    let listed = house.sessions.list(&house.person.user, at(61)).await;
    let listed = listed.unwrap();
    let sids: Vec<_> = listed.iter().map(|row| row.sid.as_str()).collect();
    assert_eq!(sids, [second.sid.as_str(), first.sid.as_str()]);
    assert_eq!(listed[1].idp, IdpId::new("acme"));
    assert_eq!(listed[1].origin, ORIGIN);
    assert_eq!(listed[1].created_at, at(0));
    let later = at(8 * 3600 + 150);
    let listed = house
        .sessions
        .list(&house.person.user, later)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1, "the first one is idle by then");
    let nobody = UserId::new("usr_nobody");
    assert!(
        house
            .sessions
            .list(&nobody, at(61))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn pages_show_every_session_once() {
    let house = house().await;
    for second in [0, 0, 0, 1, 2] {
        let made = house.sessions.create(house.new_session(), at(second)).await;
        made.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = house
            .sessions
            .page(after.as_deref(), 2, at(3))
            .await
            .unwrap();
        assert_eq!(page.total, 5);
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|row| (row.created_at, row.sid)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    sorted.dedup();
    assert_eq!(seen, sorted);
}

#[tokio::test]
async fn one_ends_by_its_public_id_and_the_others_go_on() {
    let house = house().await;
    let (_, ends) = house.sign_in().await;
    let (_, stays) = house.sign_in().await;
    let ended = house.sessions.end(Which::Sid(&ends.sid), at(1)).await;
    assert_eq!(ended.unwrap().len(), 1);
    assert!(ends.ended.is_cancelled() && !stays.ended.is_cancelled());
    assert!(house.find(&ends.key, 1).await.is_none());
    assert!(house.find(&stays.key, 1).await.is_some());
    let again = house.sessions.end(Which::Sid(&ends.sid), at(1)).await;
    assert_eq!(again.unwrap().len(), 0);
}
