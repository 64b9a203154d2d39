//! Groups that did not fit into the token: Entra then only points to them ("overage"), and Microsoft Graph has them.
//!
//! A token's own URLs are never called: the address of Graph follows from the issuer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::claims::{Claims, GROUP, GROUPS, Sources, check_text, wrong_type};
use super::metadata::is_plain_loopback;
use super::userinfo::bearer;
use super::{OidcError, OidcIdp, printable};
use crate::secret::Secret;
use crate::trace::Call;

/// For all pages together.
const WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a page.
const LIMIT: usize = 1024 * 1024;
/// Pages; Graph gives up to 999 groups on each.
const PAGES: usize = 20;

/// One page of Graph's answer.
#[derive(Deserialize)]
struct Page {
    value: Vec<Member>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// A directory object: a group, or a role or unit that is none.
#[derive(Deserialize)]
struct Member {
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
    id: String,
}

impl OidcIdp {
    /// Whether the claims have the groups or point to them.
    pub(super) fn knows_groups(&self, claims: &Claims) -> bool {
        claims.at(&self.oidc.attributes.groups).is_some()
            || self
                .has_too_many_groups(&Sources(&[claims]))
                .unwrap_or(true)
    }

    /// Whether groups were left out: `_claim_names` names them (OIDC Core 5.6.2), or `hasgroups` stands in their place.
    pub(super) fn has_too_many_groups(&self, sources: &Sources<'_>) -> Result<bool, OidcError> {
        let path = &self.oidc.attributes.groups;
        for claims in sources.0 {
            match claims.at("_claim_names") {
                Some(Value::Object(names)) if names.contains_key(path) => return Ok(true),
                Some(Value::Object(_)) | None => {}
                Some(other) => return Err(wrong_type("_claim_names", "an object", other)),
            }
            let flag = claims
                .at("hasgroups")
                .is_some_and(|flag| flag != &Value::Bool(false));
            if flag && path == "groups" && !sources.has(path) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All groups of the person by id. A failure is never "no groups".
    pub(super) async fn look_up_groups(
        &self,
        access_token: &Secret,
    ) -> Result<Vec<String>, OidcError> {
        let base = graph_of(&self.oidc.issuer).ok_or_else(|| {
            OidcError::Invalid("the groups are kept elsewhere (_claim_names), and usher can only ask Microsoft Graph".to_owned())
        })?;
        match tokio::time::timeout(WITHIN, self.all_pages(&base, access_token)).await {
            Ok(result) => result,
            Err(_) => Err(unavailable(format!("no answer within {WITHIN:?}"))),
        }
    }

    async fn all_pages(&self, base: &str, access_token: &Secret) -> Result<Vec<String>, OidcError> {
        let mut groups = Vec::new();
        let first = format!("{base}/me/transitiveMemberOf?$select=id&$top=999");
        let mut next = Some(first);
        for _ in 0..PAGES {
            let Some(url) = next else {
                return Ok(groups);
            };
            let page = self.page(&url, access_token).await?;
            let is_group = |member: &Member| {
                let kind = member.kind.as_deref();
                kind.is_none_or(|kind| kind == "#microsoft.graph.group")
            };
            for member in page.value.into_iter().filter(is_group) {
                check_text("a group's id", &member.id, GROUP)?;
                groups.push(member.id);
            }
            next = page.next;
            // The access token goes to Graph alone, wherever a page points to.
            if next.as_ref().is_some_and(|next| !is_below(next, base)) {
                return Err(unavailable("the next page is not on Graph".to_owned()));
            }
            if groups.len() > GROUPS {
                break;
            }
        }
        match next {
            None if groups.len() <= GROUPS => Ok(groups),
            Some(_) | None => Err(unavailable(format!("more than {GROUPS} groups"))),
        }
    }

    async fn page(&self, url: &str, access_token: &Secret) -> Result<Page, OidcError> {
        let request = Request::get(url)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer(access_token)?)
            .extension(Call::to_idp("groups"))
            .body(Bytes::new())
            .map_err(|error| unavailable(error.to_string()))?;
        let answer = self
            .outbound
            .send(request, LIMIT, WITHIN)
            .await
            .map_err(|error| unavailable(printable(&error.to_string())))?;
        if answer.status != StatusCode::OK {
            let hint = match answer.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    "; does the client have GroupMember.Read.All?"
                }
                _ => "",
            };
            return Err(unavailable(format!("it answers {}{hint}", answer.status)));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| unavailable("its answer is no page of groups".to_owned()))
    }
}

/// Graph of the cloud that the issuer is in. An IdP on loopback, for trying out, has its own below the issuer.
fn graph_of(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer).ok()?;
    if is_plain_loopback(&url) {
        return Some(format!("{}/graph/v1.0", issuer.trim_end_matches('/')));
    }
    let origin = match url.host_str()? {
        "login.microsoftonline.com" | "login.windows.net" | "sts.windows.net" => {
            "https://graph.microsoft.com"
        }
        "login.microsoftonline.us" => "https://graph.microsoft.us",
        "login.partner.microsoftonline.cn" | "login.chinacloudapi.cn" => {
            "https://microsoftgraph.chinacloudapi.cn"
        }
        host if host.ends_with(".ciamlogin.com") => "https://graph.microsoft.com",
        _ => return None,
    };
    Some(format!("{origin}/v1.0"))
}

fn is_below(url: &str, base: &str) -> bool {
    let (Ok(url), Ok(base)) = (Url::parse(url), Url::parse(base)) else {
        return false;
    };
    url.origin() == base.origin() && url.path().starts_with(&format!("{}/", base.path()))
}

fn unavailable(text: String) -> OidcError {
    OidcError::Unavailable(format!(
        "groups cannot be looked up at Microsoft Graph: {text}"
    ))
}
