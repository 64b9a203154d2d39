//! README.md and docs/: every block, command, link, key, path and quotation is what usher does today.

mod blocks;
mod commands;
mod page;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use usher::idp::saml::check::Check;
use usher::refusal::Reason;

use crate::support::process::binary;
use page::Page;
use words::Known;

/// Something wrong at a line of a page.
struct Fault {
    path: PathBuf,
    line: usize,
    what: String,
}

impl Fault {
    fn new(page: &Page, line: usize, what: String) -> Self {
        let path = page.path.clone();
        Self { path, line, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn reference() -> String {
    let output = Command::new(binary())
        .args(["schema", "--markdown"])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn known(pages: &[Page]) -> Known {
    let known = Known::read(root(), &reference(), pages);
    known.assert_plausible();
    known
}

fn none(faults: &[Fault]) {
    let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "\n{}\n", list.join("\n"));
}

/// Quotations are usher's words where people look for them.
fn quotes_usher(page: &Page) -> bool {
    page.path.starts_with("docs/idps") || page.path.ends_with("docs/troubleshooting.md")
}

fn faults_of_blocks(page: &Page) -> Vec<Fault> {
    let faults = page.faults.iter();
    let mut found: Vec<Fault> = faults
        .map(|(line, what)| Fault::new(page, *line, what.clone()))
        .collect();
    let blocks = page.blocks.iter();
    found.extend(blocks.flat_map(|block| blocks::check(root(), page, block)));
    found
}

#[test]
fn every_block_of_the_docs_is_of_a_known_kind_and_right() {
    let pages = page::pages(root());
    assert!(pages.iter().map(|page| page.blocks.len()).sum::<usize>() > 5);
    let (left, right) = pages.split_at(pages.len() / 2);
    let faults = std::thread::scope(|scope| {
        let other = scope.spawn(|| right.iter().flat_map(faults_of_blocks).collect::<Vec<_>>());
        let mut found: Vec<Fault> = left.iter().flat_map(faults_of_blocks).collect();
        found.extend(other.join().unwrap());
        found
    });
    none(&faults);
}

#[test]
fn every_link_between_the_docs_leads_somewhere() {
    let pages = page::pages(root());
    let faults = pages
        .iter()
        .flat_map(|page| words::check_links(root(), page, &pages));
    none(&faults.collect::<Vec<_>>());
}

#[test]
fn every_page_is_in_the_index() {
    let pages = page::pages(root());
    let index = pages
        .iter()
        .find(|page| page.path == Path::new("docs/README.md"));
    let prose: String = index
        .unwrap()
        .prose
        .iter()
        .map(|(_, line)| line.as_str())
        .collect();
    let missing: Vec<Fault> = pages
        .iter()
        .filter_map(|page| Some((page, page.path.strip_prefix("docs").ok()?)))
        .filter(|(_, path)| *path != Path::new("README.md"))
        .filter(|(_, path)| !prose.contains(&format!("]({})", path.display())))
        .map(|(page, _)| Fault::new(page, 1, "no link in docs/README.md leads here".to_owned()))
        .collect();
    none(&missing);
}

#[test]
fn every_key_path_variable_and_command_that_the_docs_name_exists() {
    let pages = page::pages(root());
    let known = known(&pages);
    let faults = pages.iter().flat_map(|page| words::check(page, &known));
    none(&faults.collect::<Vec<_>>());
}

#[test]
fn what_the_docs_quote_is_what_usher_says() {
    let pages = page::pages(root());
    let known = known(&pages);
    let quoting = pages.iter().filter(|page| quotes_usher(page));
    let faults = quoting.flat_map(|page| words::check_quotations(page, &known));
    none(&faults.collect::<Vec<_>>());
}

#[test]
fn the_config_reference_is_what_the_schema_says() {
    let written = std::fs::read_to_string(root().join("docs/config.md")).unwrap_or_default();
    assert!(
        written == reference(),
        "docs/config.md is not up to date: usher schema --markdown > docs/config.md"
    );
}

#[test]
fn every_refusal_and_every_saml_check_stands_in_the_tables_of_troubleshooting() {
    let text = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap_or_default();
    let mut missing = Vec::new();
    for reason in Reason::ALL {
        let row = format!(
            "| `{}` | {} | {} |",
            reason.code(),
            reason.status().as_u16(),
            reason.title()
        );
        if !text.contains(&row) {
            missing.push(row);
        }
    }
    for check in Check::ALL {
        let row = format!("| `{}` | {} |", check.code(), check.sentence());
        if !text.contains(&row) {
            missing.push(row);
        }
    }
    let rows = text.lines().filter(|line| line.starts_with("| `")).count();
    let known = Reason::ALL.len() + Check::ALL.len();
    assert!(
        missing.is_empty() && rows == known,
        "docs/troubleshooting.md has {rows} rows for {known} codes; these are missing:\n{}",
        missing.join("\n")
    );
}

/// What all checks say about a page of this text.
fn said_of(text: &str, known: &Known) -> Vec<String> {
    let page = Page::parse(Path::new("docs/sham.md"), text);
    let pages = [page];
    let mut faults = faults_of_blocks(&pages[0]);
    faults.extend(words::check_links(root(), &pages[0], &pages));
    faults.extend(words::check(&pages[0], known));
    faults.extend(words::check_quotations(&pages[0], known));
    faults.iter().map(Fault::to_string).collect()
}

#[test]
fn each_kind_of_fault_is_found_with_its_line() {
    let cases = [
        (
            "\n```yaml\na: b\n```\n",
            "docs/sham.md:3: a block of the unknown kind \"yaml\"",
        ),
        ("```\nplain\n```\n", "unknown kind \"\""),
        ("~~~\nplain\n~~~\n", "a fence of tildes"),
        ("```sh\necho\n", "the block has no end"),
        (
            "```yaml usher\npublic_url: https://a.example\n```\n",
            "docs/sham.md:2: usher check --offline: ",
        ),
        (
            "```yaml usher-part\nstore: memory\nsessions: { idle: 8h }\n```\n",
            "docs/sham.md:3: usher check --offline: ",
        ),
        ("```json\n{\"a\": …}\n```\n", "no JSON"),
        (
            "```sh\nusher check\nusher chek\n```\n",
            "docs/sham.md:3: usher does not know `usher chek`",
        ),
        (
            "```sh\nUSHER_CONFIG=a usher check --ofline && true\n```\n",
            "usher does not know `usher check --ofline`",
        ),
        (
            "```sh\ncargo run -- demo --chek\n```\n",
            "usher does not know `usher demo --chek`",
        ),
        (
            "```sh\ncat a | frobnicate b\n```\n",
            "\"frobnicate\" is no command",
        ),
        ("```sh\njust dance\n```\n", "no recipe \"dance\""),
        (
            "```console\n$ usher check \\\n    --ofline\nanything\n```\n",
            "docs/sham.md:2: usher does not know",
        ),
        (
            "<!-- file: no/such.conf -->\n```nginx\na\n```\n",
            "cannot be read",
        ),
        (
            "<!-- file: /clippy.toml -->\n```toml\na\n```\n",
            "docs/sham.md:3: differs from /clippy.toml in line 1",
        ),
        (
            "<!-- file: /clippy.toml#part -->\n```toml\na\n```\n",
            "no part between lines `[part]`",
        ),
        (
            "<!-- file: /clippy.toml -->\nNo block.\n",
            "docs/sham.md:2: no block follows",
        ),
        (
            "A [link](nowhere.md).\n",
            "docs/sham.md:1: the link nowhere.md leads to nothing",
        ),
        (
            "A [link](../README.md#nowhere).\n",
            "README.md has no heading for #nowhere",
        ),
        (
            "# One\n\n[link](#two)\n",
            "docs/sham.md has no heading for #two",
        ),
        ("Set `admin.alow`.\n", "`admin.alow` is no key"),
        ("Set `identity_providers[].oidc.isuer: x`.\n", "is no key"),
        ("Say `usher chek`.\n", "usher does not know `usher chek`"),
        (
            "Open `/_usher/sign-inn`.\n",
            "/_usher/sign-inn is no endpoint",
        ),
        (
            "```text\nhttps://a.example/_usher/saml/acme/asc\n```\n",
            "docs/sham.md:2: /_usher/saml/acme/asc is no endpoint",
        ),
        (
            "Set `USHER_CONFIGG`.\n",
            "nothing reads the environment variable USHER_CONFIGG",
        ),
        ("> The app could not be bothered.\n", "usher never says"),
    ];
    let known = known(&[]);
    for (text, wanted) in cases {
        let said = said_of(text, &known);
        assert!(
            said.iter().any(|said| said.contains(wanted)),
            "{text}\n{said:#?}"
        );
    }
}

#[test]
fn what_is_right_is_not_called_a_fault() {
    let right = "\
# One `thing`, and [another](../config.example.yaml)

See [above](#one-thing-and-another), [the readme](../README.md) and <https://usher.example>.

Keys: `admin.allow`, `identity_providers[].scim`, `headers.user: account`, `group_roles.acme.engineering`; no keys: `user.created`,
`usher.yaml`, `mail.corp.example`. Paths: `/_usher/saml/{idp}/acs`, `/_usher/scim/acme/v2/Users`, `/_usher/oidc/…`, `/_usher/*`.

Variables: `USHER_CONFIG`, `SSL_CERT_FILE`. Command: `usher check --config usher.yaml`.

> You need to sign in to see this.
> … The rules of this app do not open … to you.

```sh
# A comment with `usher nonsense`.
usher check --offline > result.txt 2>&1 && kill -HUP $(pidof usher)   # and one more
cat > usher.yaml <<'END'
usher nonsense
END
A=b cargo run -- demo --check | grep \"usher | nonsense\"
```

```console
$ usher schema --markdown
any output
```

1. In a list:

   ```yaml usher-part
   store: memory
   apps:
     - id: wiki
       upstream: http://127.0.0.1:3000
       provisioning: { roles: [a], default_role: a, group_roles: { acme: { b: a } } }
   ```

<!-- file: /src/main.rs -->
```rust
";
    let main = std::fs::read_to_string(root().join("src/main.rs")).unwrap();
    let said = said_of(&format!("{right}{main}```\n"), &known(&[]));
    assert!(said.is_empty(), "{said:#?}");
}
