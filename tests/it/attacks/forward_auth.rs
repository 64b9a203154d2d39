//! The path tricks of the catalogue as a proxy describes them, in each way that there is.

use serde_json::{Value, json};

use super::{
    case::{Expectation, Row},
    judge::{Verdict, when},
    readings::{is_public, is_under, readings},
    run::Run,
    template::expand,
};

/// How a target is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OriginalUri,
    OriginalUrl,
    ForwardedUri,
    ExtAuthz,
}

const WAYS: [Way; 4] = [
    Way::OriginalUri,
    Way::OriginalUrl,
    Way::ForwardedUri,
    Way::ExtAuthz,
];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::OriginalUri => "x-original-uri",
            Self::OriginalUrl => "x-original-url",
            Self::ForwardedUri => "x-forwarded-uri",
            Self::ExtAuthz => "ext-authz",
        }
    }

    /// The request of a proxy about `{{v}}`.
    fn request(self) -> Value {
        let (target, headers) = match self {
            Self::OriginalUri => (
                "{{p}}/auth",
                json!([["X-Original-Method", "GET"], ["X-Original-URI", "{{v}}"]]),
            ),
            Self::OriginalUrl => (
                "{{p}}/auth",
                json!([
                    ["X-Original-Method", "GET"],
                    ["X-Original-URL", "https://app.test{{v}}"]
                ]),
            ),
            Self::ForwardedUri => (
                "{{fa}}",
                json!([
                    ["X-Forwarded-Method", "GET"],
                    ["X-Forwarded-Host", "app.test"],
                    ["X-Forwarded-Uri", "{{v}}"]
                ]),
            ),
            Self::ExtAuthz => ("{{p}}/ext-authz{{v}}", json!([])),
        };
        let mut all = vec![json!(["Host", "app.test"])];
        all.extend(headers.as_array().cloned().unwrap_or_default());
        json!({"proto": "h1", "from": "trusted", "method": "GET", "target": target, "headers": all})
    }
}

/// The rows whose variants are paths, once for each way.
pub(super) fn described(rows: &[Row]) -> Vec<Row> {
    let of_paths = |row: &&Row| {
        let whole = |value: &Value| value == "{{v}}";
        row.class == "skip-auth-route-bypass"
            && row.request.as_ref().is_some_and(|request| {
                let headers = request["headers"].as_array().into_iter().flatten();
                let mut uris = headers.filter(|header| header[0] == "X-Forwarded-Uri");
                whole(&request["target"]) || uris.any(|uri| whole(&uri[1]))
            })
    };
    let tricks = rows.iter().filter(of_paths);
    tricks
        .flat_map(|row| WAYS.map(|way| describe(row, way)))
        .collect()
}

fn describe(row: &Row, way: Way) -> Row {
    // A path of Envoy's begins at the slash that its request has.
    let fits = |variant: &Value| {
        way != Way::ExtAuthz || variant.as_str().is_some_and(|v| v.starts_with(['/', '{']))
    };
    let mut variants = row.variants();
    variants.retain(fits);
    Row {
        id: format!("{}/{}", row.id, way.name()),
        request: Some(way.request()),
        steps: None,
        variants: Some(variants),
        expectation: Expectation {
            asserts: vec![
                "invariant.described_in_public".to_owned(),
                "upstream.hits=0".to_owned(),
                "resp.header({{h_user}})=absent_or_empty".to_owned(),
                "alive".to_owned(),
            ],
        },
        ..row.clone()
    }
}

impl Run<'_> {
    /// A described target may pass only if it is public, or usher's own, in every reading.
    pub(super) fn judge_described(&self, status: u16) -> Result<Verdict, String> {
        let variant = self.variant.as_str().unwrap_or_default();
        let target = expand(variant, self)?;
        let all = readings(&target).unwrap_or_default();
        let open = !all.is_empty()
            && (all.iter().all(|path| is_public(path))
                || all.iter().all(|path| is_under(path, "/_usher")));
        let denied = matches!(status, 302 | 400 | 401 | 403 | 404);
        Ok(when(denied || (open && status == 200), status))
    }
}

#[test]
fn every_path_trick_is_described_in_every_way() {
    let rows = super::case::load(super::CASES).unwrap();
    let described = described(&rows);
    let ids: Vec<_> = described.iter().map(|row| row.id.as_str()).collect();
    for id in [
        "SKP-001", "SKP-007", "SKP-015", "SKP-023", "SKP-025", "SKP-029",
    ] {
        for way in WAYS {
            let wanted = format!("{id}/{}", way.name());
            assert!(ids.contains(&wanted.as_str()), "{wanted} is not in {ids:?}");
        }
    }
    assert!(described.iter().all(|row| !row.variants().is_empty()));
}
