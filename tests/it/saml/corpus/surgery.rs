//! What an attacker does to the text of a message after somebody signed it.

use usher::demo::saml::{DS, SignatureOptions, insert_after_issuer};

use super::Setting;

/// The person that an attacker wants to be.
pub(super) const ADMIN: &str = "root-0001";

/// The text before an element, the element, and what follows it. `tag` is its prefixed name.
pub(super) fn cut<'a>(xml: &'a str, tag: &str) -> (&'a str, &'a str, &'a str) {
    let start = xml
        .find(&format!("<{tag} "))
        .or_else(|| xml.find(&format!("<{tag}>")))
        .unwrap();
    let end = format!("</{tag}>");
    let end = start + xml[start..].rfind(&end).unwrap() + end.len();
    (&xml[..start], &xml[start..end], &xml[end..])
}

/// An element and the text without it.
pub(super) fn take(xml: &str, tag: &str) -> (String, String) {
    let (before, element, after) = cut(xml, tag);
    (element.to_owned(), format!("{before}{after}"))
}

/// Replaces one text by another; it must be there.
pub(super) fn swap(xml: &str, from: &str, to: &str) -> String {
    assert!(xml.contains(from), "{from} is not in {xml}");
    xml.replacen(from, to, 1)
}

/// As [`swap`], everywhere.
pub(super) fn swap_all(xml: &str, from: &str, to: &str) -> String {
    assert!(xml.contains(from), "{from} is not in {xml}");
    xml.replace(from, to)
}

/// A good answer with one text replaced after it was signed.
pub(super) fn forged(s: &Setting, from: &str, to: &str) -> Vec<u8> {
    swap(&s.with(|_| {}), from, to).into_bytes()
}

/// A good answer whose assertion is signed, in its parts: the signed assertion, and the response without it.
pub(super) struct Signed {
    pub(super) assertion: String,
    pub(super) before: String,
    pub(super) after: String,
}

pub(super) fn signed(s: &Setting) -> Signed {
    let xml = s.with(|_| {});
    let (before, assertion, after) = cut(&xml, "saml:Assertion");
    Signed {
        assertion: assertion.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

impl Signed {
    /// The response around other content.
    pub(super) fn around(&self, content: &str) -> Vec<u8> {
        format!("{}{content}{}", self.before, self.after).into_bytes()
    }

    /// The signature of the assertion, and the assertion without it.
    pub(super) fn apart(&self) -> (String, String) {
        take(&self.assertion, "ds:Signature")
    }

    /// What the attacker wants to be read: no signature, another person.
    pub(super) fn evil(&self, id: &str) -> String {
        let (_, plain) = self.apart();
        let plain = swap(&plain, "ann-0001", ADMIN);
        with_id(&plain, id)
    }
}

/// The element with another `ID` at its root.
pub(super) fn with_id(element: &str, id: &str) -> String {
    let start = element.find(" ID=\"").unwrap() + 5;
    let end = start + element[start..].find('"').unwrap();
    format!("{}{id}{}", &element[..start], &element[end..])
}

/// The `ID` at the root of an element.
pub(super) fn id_of(element: &str) -> &str {
    let start = element.find(" ID=\"").unwrap() + 5;
    element[start..].split('"').next().unwrap()
}

/// A good answer whose assertion is signed over a `SignedInfo` that `change` had in its hands.
pub(super) fn signing(
    s: &Setting,
    by: &SignatureOptions,
    change: impl FnOnce(String) -> String,
) -> Vec<u8> {
    let response = s.answer();
    let canonical = response.assertion.to_xml().unwrap();
    let id = response.assertion.id.clone().unwrap();
    let signature = by.over(&change(by.signed_info(&id, &canonical))).unwrap();
    let assertion = insert_after_issuer(&canonical, &signature);
    response.around(&assertion).unwrap().into_bytes()
}

/// A `ds:Transform` by its algorithm, with what it holds.
pub(super) fn transform(algorithm: &str, content: &str) -> String {
    format!("<ds:Transform Algorithm=\"{algorithm}\">{content}</ds:Transform>")
}

/// A signature with a `ds:Object` in it.
pub(super) fn with_object(signature: &str, content: &str) -> String {
    let end = signature.rfind("</ds:Signature>").unwrap();
    format!(
        "{}<ds:Object>{content}</ds:Object></ds:Signature>",
        &signature[..end]
    )
}

/// A namespace that is like that of signatures.
pub(super) fn other_signature_namespace(xml: &str) -> String {
    swap_all(xml, DS, "http://www.w3.org/2000/09/xmldsig")
}
