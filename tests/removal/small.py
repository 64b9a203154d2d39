"""A crate of its own out of what verifies SAML messages, and of their corpus: it builds in a minute and needs no store or server.

What the verification does not reach has a stand-in here, with no more than the names that its neighbours mention.
"""

import pathlib
import re
import shutil

from checks import CHECKS
from switches import SWITCH, switched

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Files and folders that are taken as they are.
TAKEN = [
    "src/certificate.rs",
    "src/identity.rs",
    "src/secret.rs",
    "src/keys/saml.rs",
    "src/demo/saml",
    "src/idp/saml",
    "tests/it/saml/corpus.rs",
    "tests/it/saml/corpus",
    "tests/it/saml/logout_corpus.rs",
    "bench/saml.rs",
]
# Of those, the ones that speak of servers and stores.
LEFT_OUT = ["src/idp/saml/metadata", "src/idp/saml/attributes", "src/idp/saml/attributes.rs", "src/idp/saml/flow.rs", "src/idp/saml/authn_request"]
DEPENDENCIES = ["aws-lc-rs", "base64", "flate2", "icu_normalizer", "jiff", "memchr", "percent-encoding", "roxmltree", "rustls", "secrecy", "serde", "serde_json", "subtle", "thiserror", "url", "uuid", "x509-parser"]
DEV_DEPENDENCIES = ["proptest", "tempfile"]

STAND_INS = {
    "src/lib.rs": """
#![allow(warnings)]
pub mod certificate;
pub mod identity;
pub mod secret;
pub mod config {
    pub struct SamlConfig { pub max_age: std::time::Duration, pub force_authn: bool }
    pub struct SamlKeyPair { pub certificate: crate::certificate::Certificate, pub key: crate::secret::Secret }
}
pub mod seal { pub struct SealRing; }
pub mod store { pub struct Store; pub struct StoreError(pub String); }
pub mod keys { pub mod saml; }
pub mod idp { pub mod saml; }
pub mod demo { pub mod saml; }
"""
    + SWITCH,
    "src/keys/saml/kept.rs": """
use super::*;
pub struct Kept;
pub struct RotationError;
pub fn list() {}
pub fn make() {}
pub fn remove() {}
pub fn sign_with() {}
pub(super) async fn load(_: &Store, _: &SealRing, _: &str, _: Timestamp) -> Result<Vec<SpKey>, StoreError> { Ok(Vec::new()) }
""",
    "src/keys/saml/tests.rs": "",
    "src/certificate/tests.rs": "",
    "src/demo/saml/server.rs": "pub struct MetadataFault;\npub struct TestSamlIdp;\n",
    "src/demo/saml/tests.rs": "",
    "src/idp/saml/mod.rs": """
pub mod assertion;
pub mod authn_request;
pub mod binding;
pub mod check;
pub mod encryption;
pub mod logout;
pub mod metadata { pub mod idp { #[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum Binding { Redirect, Post } } }
pub mod response;
pub mod signature;
pub mod xml;
pub use assertion::{NameId, VerifiedAssertion};
pub use binding::Outgoing;
pub use check::{Check, Refused};
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
""",
    "src/idp/saml/authn_request.rs": "",
    "src/idp/saml/logout/flow.rs": "pub struct Leaving;\n",
    "tests/it/main.rs": "mod saml { mod corpus; mod logout_corpus; }\n",
    "tests/it/saml/corpus/stories.rs": "",
}

MANIFEST = """
[package]
name = "usher"
version = "0.0.0"
edition = "2024"
autotests = false

[[test]]
name = "it"
path = "tests/it/main.rs"

[[example]]
name = "saml-cost"
path = "bench/saml.rs"

[profile.release]
codegen-units = 16
"""


def manifest():
    """With the versions and features of the whole."""
    text = (ROOT / "Cargo.toml").read_text()
    lines = {line.split(" = ")[0]: line for line in reversed(text.splitlines()) if re.match(r"[a-z0-9_-]+ = ", line)}
    # In the whole, another crate asks serde for that.
    lines["serde"] = lines["serde"].replace('"derive"', '"derive", "rc"')
    chosen = lambda names: "".join(lines[name] + "\n" for name in names)
    return f"{MANIFEST}\n[dependencies]\n{chosen(DEPENDENCIES)}\n[dev-dependencies]\n{chosen(DEV_DEPENDENCIES)}"


def files():
    """Path and content of each."""
    places = {}
    for name, file, before, after in CHECKS:
        places.setdefault(file, []).append((name, before, after))
    for name in TAKEN:
        source = ROOT / name
        for path in [source] if source.is_file() else sorted(source.rglob("*")):
            file = str(path.relative_to(ROOT))
            if not path.is_file() or any(file == left or file.startswith(left + "/") for left in LEFT_OUT):
                continue
            content = path.read_bytes()
            if file in places:
                content = switched(content.decode(), places[file]).encode()
            yield file, content
    for file, content in STAND_INS.items():
        yield file, content.encode()
    yield "Cargo.toml", manifest().encode()


def write(into):
    """Writes the crate; what has not changed stays as it is, so that a build sees only changes."""
    made = dict(files())
    for file, content in made.items():
        path = into / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
    for folder in ["src", "tests", "bench"]:
        for path in (into / folder).rglob("*"):
            if path.is_file() and str(path.relative_to(into)) not in made:
                path.unlink()
    # The versions of the whole; what the crate does not need falls out of it.
    if not (into / "Cargo.lock").exists():
        shutil.copyfile(ROOT / "Cargo.lock", into / "Cargo.lock")
