//! Which groups count for somebody.

use std::collections::HashSet;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::CHUNK;
use crate::identity::{Subject, UserId, folded};
use crate::store::StoreError;

/// Groups as they count for a subject: a group that SCIM manages counts by SCIM alone, others as the IdP said at the sign-in.
/// SCIM manages a name where it has a group of that `displayName` (in any case) or that `externalId`.
pub(in crate::directory) async fn groups(
    on: &mut SqliteConnection,
    subject: &Subject,
    user: &UserId,
    said: Vec<String>,
) -> Result<Vec<String>, StoreError> {
    let any: Option<i64> = sqlx::query_scalar("SELECT 1 FROM scim_groups WHERE idp = $1 LIMIT 1")
        .bind(subject.idp.as_str())
        .fetch_optional(&mut *on)
        .await?;
    if any.is_none() {
        return Ok(said);
    }
    let memberships = memberships(on, subject, user).await?;
    let managed = managed(on, subject, &said).await?;
    let is_member = |name: &str| {
        memberships
            .iter()
            .any(|(display, external)| display == name || external.as_deref() == Some(name))
    };
    let mut counted: Vec<String> = said
        .into_iter()
        .filter(|name| {
            let by_scim = managed.contains(name) || managed.contains(&folded(name));
            !by_scim || is_member(name)
        })
        .collect();
    for (display, _) in memberships {
        if !counted.contains(&display) {
            counted.push(display);
        }
    }
    Ok(counted)
}

/// Name and `externalId` of the user's groups. In two steps: joined with the user, SQLite walks the members of all groups.
async fn memberships(
    on: &mut SqliteConnection,
    subject: &Subject,
    user: &UserId,
) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let resource: Option<String> =
        sqlx::query_scalar("SELECT id FROM scim_users WHERE user_id = $1 AND idp = $2")
            .bind(user.as_str())
            .bind(subject.idp.as_str())
            .fetch_optional(&mut *on)
            .await?;
    let Some(resource) = resource else {
        return Ok(Vec::new());
    };
    let found = sqlx::query_as(
        "SELECT g.display_name, g.external_id FROM scim_members m \
         JOIN scim_groups g ON g.idp = m.idp AND g.id = m.group_id \
         WHERE m.idp = $1 AND m.member_id = $2 ORDER BY g.display_name",
    )
    .bind(subject.idp.as_str())
    .bind(resource)
    .fetch_all(on)
    .await?;
    Ok(found)
}

/// Of these names, those of groups that SCIM manages: by `externalId`, or by the name as it is compared.
async fn managed(
    on: &mut SqliteConnection,
    subject: &Subject,
    said: &[String],
) -> Result<HashSet<String>, StoreError> {
    let mut managed = HashSet::new();
    for names in said.chunks(CHUNK) {
        for (column, compared) in [
            (
                "display_name_key",
                names.iter().map(|name| folded(name)).collect(),
            ),
            ("external_id", names.to_vec()),
        ] {
            let compared: Vec<String> = compared;
            let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
            query.push(column).push(" FROM scim_groups WHERE idp = ");
            query.push_bind(subject.idp.as_str());
            query.push(" AND ").push(column).push(" IN (");
            let mut list = query.separated(", ");
            for name in compared {
                list.push_bind(name);
            }
            query.push(")");
            managed.extend(query.build_query_scalar().fetch_all(&mut *on).await?);
        }
    }
    Ok(managed)
}
