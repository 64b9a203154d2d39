"""The checks of SAML messages, each with the change of one place that takes it out.

(name, file, what stands there, what stands there instead). What stands there must be there exactly once.

Not here are second nets, which nothing reaches while the first one holds: that a signature is a child of what it signs (`shape`
looks for it there alone), that its canonical form reads as itself and has no markup but elements, that two signatures are over one assertion, that a plaintext is
one element once more.
"""

RESPONSE = "src/idp/saml/response/mod.rs"
SHAPE = "src/idp/saml/response/shape.rs"
ENVELOPE = "src/idp/saml/response/envelope.rs"
STATEMENTS = "src/idp/saml/response/statements.rs"
ATTRIBUTES = "src/idp/saml/response/attributes.rs"
CLOCK = "src/idp/saml/response/clock.rs"
SIGNATURE = "src/idp/saml/signature.rs"
SIGNATURE_SHAPE = "src/idp/saml/signature/shape.rs"
ALGORITHM = "src/idp/saml/signature/algorithm.rs"
ENCRYPTION = "src/idp/saml/encryption.rs"
CIPHERS = "src/idp/saml/encryption/algorithm.rs"
SCAN = "src/idp/saml/xml/scan.rs"
TOKEN = "src/idp/saml/xml/token.rs"
TIME = "src/idp/saml/xml/time.rs"
LOGOUT = "src/idp/saml/logout/read.rs"
REDIRECT = "src/idp/saml/binding/redirect.rs"

CHECKS = [
    # The scan.
    ("scan: bytes", SCAN, "if bytes.len() > limits.bytes {", "if false {"),
    ("scan: characters", SCAN, "if !token::is_clean(text) {", "if false {"),
    ("scan: number of tags", SCAN, "memchr_iter(sign, bytes).count() > limits.nodes {", "memchr_iter(sign, bytes).count() > usize::MAX - 1 {"),
    ("scan: names", SCAN, "if !prefixed || local.is_empty() || token::colon(local).is_some() {", "if false {"),
    ("scan: references", SCAN, "nesting.is_inside() => references(text)?,", "nesting.is_inside() => {}"),
    ("scan: text outside the root", SCAN, "Token::Text(_) => return Err(OUTSIDE),", "Token::Text(_) => {}"),
    ("scan: comments and CDATA", SCAN, "Token::Comment if !limits.comments => {", "Token::Comment if false => {"),
    ("scan: encoding", SCAN, '("encoding", Some(_)) if spaced && value.eq_ignore_ascii_case("utf-8") => {}', '("encoding", Some(_)) if spaced => {}'),
    ("scan: version of XML", SCAN, 'if (name, version) != ("version", "1.0") {', 'if name != "version" {'),
    ("scan: empty namespaces", SCAN, 'if prefix == "xmlns" || (value.is_empty() && !prefix.is_empty()) {', 'if prefix == "xmlns" {'),
    ("scan: depth", SCAN, "if self.open.len() == self.limits.depth {", "if false {"),
    ("scan: namespaces in scope", SCAN, "if self.in_scope > self.limits.namespaces {", "if false {"),
    ("scan: second root", SCAN, "if self.root_seen && self.open.is_empty() {", "if false {"),
    ("scan: open elements at the end", SCAN, "if self.is_inside() {\n            return Err(ScanError::NotWellFormed(\"an element", "if false {\n            return Err(ScanError::NotWellFormed(\"an element"),
    # Shape.
    ("shape: root", SHAPE, 'if !is(root, PROTOCOL, "Response") {', "if false {"),
    ("shape: unknown children", SHAPE, "            return Err(refused(format!(\n                \"{} holds {}, which has no place there\",", "            continue;\n            #[allow(unreachable_code)]\n            return Err(refused(format!(\n                \"{} holds {}, which has no place there\","),
    ("shape: how often", SHAPE, "if *count > *most {", "if false {"),
    ("shape: place of responses", SHAPE, '"Response" => Some(node) == response,', '"Response" => true,'),
    ("shape: place of assertions", SHAPE, '"Assertion" | "EncryptedAssertion" => Some(node) == assertion,', '"Assertion" | "EncryptedAssertion" => true,'),
    ("shape: place of signatures", SHAPE, 'place && is(node, DSIG, "Signature") && signed.insert(parent)', 'let _ = place; signed.insert(Some(node))'),
    ("shape: IDs of a namespace", SHAPE, "if let Some(namespace) = attribute.namespace() {", "if let Some(namespace) = attribute.namespace().filter(|_| false) {"),
    ("shape: IDs twice", SHAPE, "if !ids.insert(attribute.value()) {", "if !ids.insert(attribute.value()) && false {"),
    ("shape: letters of an ID", SHAPE, "if first && rest && id.len() <= ID {", "if !id.is_empty() {"),
    ("shape: length of an ID", SHAPE, "if first && rest && id.len() <= ID {", "if first && rest {"),
    ("shape: what the plaintext is", SHAPE, 'if !is(node, ASSERTION, "Assertion") {', "if false {"),
    # Signatures.
    ("signature: response", RESPONSE, 'let response = verified(envelope.root, "Response", expected, steps)?;', 'let response = verified(envelope.root, "Response", expected, steps).unwrap_or_default();'),
    ("signature: assertion", RESPONSE, 'Carried::Plain(assertion) => verified(assertion, "Assertion", expected, steps)?,', 'Carried::Plain(assertion) => verified(assertion, "Assertion", expected, steps).unwrap_or_default(),'),
    ("signature: decrypted assertion", RESPONSE, 'let signed = verified(assertion, "Assertion", expected, steps)?;\n            of_assertion', 'let signed = verified(assertion, "Assertion", expected, steps).unwrap_or_default();\n            of_assertion'),
    ("signature: at least one", RESPONSE, "(None, Above::Unsigned) => Err(Refused::at(", "(None, Above::Unsigned) if true => statements::read(assertion, expected, steps),\n        (None, Above::Unsigned) => Err(Refused::at("),
    ("signature: read only what was signed", RESPONSE, "statements::read(inner, expected, steps)", "{ let _ = inner; statements::read(assertion, expected, steps) }"),
    ("signature: digest", SIGNATURE, "if computed.as_ref() != says.reference.digest {", "if false {"),
    ("signature: value", SIGNATURE, "    verify_bytes(says.algorithm, &signed, &value, certificates, now)?;\n", "    let _ = verify_bytes(says.algorithm, &signed, &value, certificates, now);\n"),
    ("signature: value of bytes", SIGNATURE, "if !verifies(algorithm, certificate.key(), signed, signature) {", "if false && !verifies(algorithm, certificate.key(), signed, signature) {"),
    ("signature: dates of the certificate", SIGNATURE, "if in_time(certificate, now) {", "if true || in_time(certificate, now) {"),
    ("signature: certificate of the past", SIGNATURE, "&& now.saturating_sub(SKEW) <= certificate.not_after().as_second()", "&& now.saturating_sub(SKEW) <= i64::MAX"),
    ("signature: certificate of the future", SIGNATURE, "certificate.not_before().as_second() <= now.saturating_add(SKEW)", "i64::MIN <= now.saturating_add(SKEW)"),
    ("signature: children", SIGNATURE_SHAPE, '[info, value, key_info] if xml::is(*key_info, DSIG, "KeyInfo") => (*info, *value),', "[info, value, ..] => (*info, *value),"),
    ("signature: reference", SIGNATURE_SHAPE, "if says.reference.uri.strip_prefix('#') != Some(id) {", "if false && says.reference.uri.strip_prefix('#') != Some(id) {"),
    ("signature: one reference", SIGNATURE_SHAPE, "let [method, algorithm, reference] = children.as_slice() else {", "let [method, algorithm, reference, ..] = children.as_slice() else {"),
    ("signature: two transforms", SIGNATURE_SHAPE, "let [enveloped, canonical] = transforms.as_slice() else {", "let [enveloped, canonical, ..] = transforms.as_slice() else {"),
    ("signature: enveloped transform", SIGNATURE_SHAPE, "        other => return Err(unknown(other)),\n", "        _ => {}\n"),
    ("signature: exclusive canonicalization", SIGNATURE_SHAPE, "if uri != EXCLUSIVE_C14N {", "if false {"),
    ("signature: prefix list", SIGNATURE_SHAPE, "if prefixes.len() > PREFIXES {", "if false {"),
    ("signature: empty methods", SIGNATURE_SHAPE, "    let uri = algorithm(node, name)?;\n    empty(node)?;", "    let uri = algorithm(node, name)?;"),
    ("signature: base64 alone", SIGNATURE_SHAPE, "Ok(bytes) if plain && !bytes.is_empty() => Ok(bytes),", "Ok(bytes) => { let _ = plain; Ok(bytes) }"),
    ("signature: one ID", SIGNATURE_SHAPE, '_ => Err(shape("what it signs has not exactly one ID")),', '(Some(id), _) => Ok(id.value()),\n        _ => Err(shape("what it signs has not exactly one ID")),'),
    ("signature: algorithms", SIGNATURE_SHAPE, "Algorithm::of_uri(uri).ok_or_else(|| unknown(uri))?;\n    Ok(SignedInfo", "Algorithm::of_uri(uri).unwrap_or(Algorithm::RsaSha256);\n    Ok(SignedInfo"),
    ("signature: digests", SIGNATURE_SHAPE, "DigestAlgorithm::of_uri(uri).ok_or_else(|| unknown(uri))?;", "DigestAlgorithm::of_uri(uri).unwrap_or(DigestAlgorithm::Sha256);"),
    # Encryption.
    ("encryption: CBC only under a signature", ENCRYPTION, "if content.needs_integrity() && integrity == Integrity::Unsigned {", "if false {"),
    ("encryption: under which signature", RESPONSE, "Above::Unsigned => Integrity::Unsigned,", "Above::Unsigned => Integrity::Signed,"),
    ("encryption: type", ENCRYPTION, "is_some_and(|kind| kind != ELEMENT)", "is_some_and(|_| false)"),
    ("encryption: number of keys", ENCRYPTION, "if all.len() > ENCRYPTED_KEYS {", "if false {"),
    ("encryption: padding", CIPHERS, "if !(1..=16).contains(&padding) {", "if false {"),
    ("encryption: OAEP parameters", CIPHERS, "all.iter().any(|child| xml::is(*child, XENC, \"OAEPparams\"))", "all.iter().any(|_| false)"),
    # The response.
    ("response: version", ENVELOPE, 'Some("2.0") => Ok(()),', '_ if true => Ok(()),\n        Some("2.0") => Ok(()),'),
    ("response: status", ENVELOPE, "if value == SUCCESS {", "if true {"),
    ("response: issuer", ENVELOPE, 'Some(node) => issuer(node, "response", expected.idp)?,', "Some(_) => {}"),
    ("response: issuer missing", ENVELOPE, "None if above == Above::Signed || encrypted => {", "None if false => {"),
    ("response: format of the issuer", ENVELOPE, ".filter(|format| *format != ENTITY)", ".filter(|_| false)"),
    ("response: destination", ENVELOPE, "    destination(root, above, expected)?;\n", ""),
    ("response: destination missing", ENVELOPE, "(None, Above::Signed) => Err(Refused::at(", "(None, Above::Signed) if true => Ok(()),\n        (None, Above::Signed) => Err(Refused::at("),
    ("response: InResponseTo", ENVELOPE, "    in_response_to(root, expected)?;\n", ""),
    ("response: IssueInstant", ENVELOPE, 'Clock(expected.now).is_recent("IssueInstant of the response", issued, FRESH)?;', "let _ = (issued, FRESH, Clock(expected.now));"),
    ("response: ID", SHAPE, "    id(root)?;\n", ""),
    # The assertion.
    ("assertion: version", STATEMENTS, "    envelope::version(assertion)?;\n", ""),
    ("assertion: issuer", STATEMENTS, '    envelope::issuer(part("Issuer", Check::Issuer)?, "assertion", expected.idp)?;\n', ""),
    ("assertion: IssueInstant", STATEMENTS, '    clock.is_recent("IssueInstant of the assertion", issued, FRESH)?;\n', ""),
    ("assertion: bearers", STATEMENTS, "let [bearer] = bearers.as_slice() else {", "let [bearer, ..] = bearers.as_slice() else {"),
    ("assertion: method", STATEMENTS, '== Some(BEARER))', '!= Some(""))'),
    ("assertion: recipient", STATEMENTS, "Some(found) if found == expected.acs => {}", "_ if true => {}"),
    ("assertion: InResponseTo", STATEMENTS, "    envelope::in_response_to(data, expected)?;\n", ""),
    ("assertion: NotBefore of the confirmation", STATEMENTS, 'if optional_attribute(data, "NotBefore").is_some() {', "if false {"),
    ("assertion: NotOnOrAfter of the confirmation", STATEMENTS, '    Clock(expected.now).is_before("NotOnOrAfter of SubjectConfirmationData", until)?;\n', ""),
    ("assertion: one name", STATEMENTS, "let [name] = names.as_slice() else {", "let [name, ..] = names.as_slice() else {"),
    ("assertion: empty name", STATEMENTS, "if value.trim().is_empty() {", "if false {"),
    ("assertion: controls in texts", STATEMENTS, "if text.is_empty() || controls ||", "let _ = controls;\n    if text.is_empty() ||"),
    ("assertion: length of texts", STATEMENTS, "|| text.chars().nth(TEXT).is_some() {", "{"),
    ("assertion: NotBefore", STATEMENTS, '        clock.has_come("NotBefore of Conditions", from)?;\n', "        let _ = from;\n"),
    ("assertion: NotOnOrAfter", STATEMENTS, '        clock.is_before("NotOnOrAfter of Conditions", until)?;\n', ""),
    ("assertion: order of the conditions' times", STATEMENTS, "if from.is_some_and(|from| from >= until) {", "if false {"),
    ("assertion: unknown conditions", STATEMENTS, '            (ASSERTION, "ProxyRestriction", 1),\n', '            (ASSERTION, "ProxyRestriction", 1),\n            (ASSERTION, "Condition", 1),\n'),
    ("assertion: audience missing", STATEMENTS, "if restrictions.is_empty() {", "if false {"),
    ("assertion: every audience", STATEMENTS, "        audience(restriction, expected)?;\n", "        let _ = restriction; let _ = audience;\n"),
    ("assertion: audience", STATEMENTS, "if named.iter().any(|audience| audience == expected.sp) {", "if named.iter().any(|audience| audience.starts_with(expected.sp)) {"),
    ("assertion: AuthnInstant", STATEMENTS, '.is_recent("AuthnInstant", at, expected', '.is_recent("AuthnInstant", clock.0, expected'),
    ("assertion: SessionNotOnOrAfter", STATEMENTS, '        clock.is_before("SessionNotOnOrAfter", ends)?;\n', ""),
    ("assertion: skew ahead", CLOCK, "if ahead <= SKEW_DURATION {", "if ahead <= SKEW_DURATION * 2 {"),
    ("assertion: skew behind", CLOCK, "if late < SKEW_DURATION {", "if late <= SKEW_DURATION {"),
    ("assertion: times in UTC", TIME, "let text = text.strip_suffix('Z')?;", "let text = text.strip_suffix('Z').or_else(|| text.strip_suffix(\"+00:00\"))?;"),
    ("attributes: name", ATTRIBUTES, ".filter(|name| !name.is_empty())", ".filter(|_| true)"),
    ("attributes: number", ATTRIBUTES, "if attributes.len() == ATTRIBUTES {", "if false {"),
    ("attributes: values", ATTRIBUTES, "if found > VALUES {", "if false {"),
    # Logout.
    ("logout: signature of a form", LOGOUT, '(Arrived::Post(_), None) => Err(Refused::at(Check::Signature, "it is not signed")),', "(Arrived::Post(bytes), None) => Ok(bytes.clone()),"),
    ("logout: signature of a query", LOGOUT, 'return Err(Refused::at(Check::Signature, "the query is not signed"));', "return Ok(received.xml.clone());"),
    ("logout: XML signature in a query", LOGOUT, "let enveloped = signature::of(root).map_err(bad_signature)?;", "let enveloped = signature::of(root).map_err(bad_signature)?.filter(|_| matches!(arrived, Arrived::Post(_)));"),
    ("logout: root", LOGOUT, "if !xml::is(root, PROTOCOL, name) {", "if false {"),
    ("logout: version", LOGOUT, "    envelope::version(root)?;\n", ""),
    ("logout: issuer", LOGOUT, '    envelope::issuer(issuer, "message", expected.idp)?;\n', "    let _ = issuer;\n"),
    ("logout: destination", LOGOUT, "if destination != expected.slo {", "if false {"),
    ("logout: IssueInstant", LOGOUT, '    Clock(expected.now).is_recent("IssueInstant", issued, FRESH)?;\n', "    let _ = (issued, FRESH);\n"),
    ("logout: NotOnOrAfter", LOGOUT, '    Clock(expected.now).is_before("NotOnOrAfter of the LogoutRequest", until)?;\n', ""),
    ("logout: NotOnOrAfter far ahead", LOGOUT, "if until.duration_since(expected.now) > AHEAD {", "if false {"),
    ("logout: InResponseTo", LOGOUT, "if answered != in_response_to {", "if false {"),
    ("logout: session indexes", LOGOUT, "if index.is_empty() || indexes.len() == SESSION_INDEXES {", "if false {"),
    # The Redirect binding.
    ("redirect: a parameter twice", REDIRECT, "if place.replace(value).is_some() {", "if place.replace(value).is_some() && false {"),
    ("redirect: a parameter without a value", REDIRECT, 'value.ok_or_else(|| format!("the parameter {plain} has no value"))?;', "value.unwrap_or_default();"),
    ("redirect: names with escapes", REDIRECT, "if name != plain {", "if false {"),
    ("redirect: raw bytes", REDIRECT, "bytes: assemble(message, value, raw.relay_state, algorithm).into_bytes(),", "bytes: percent_decode_str(&assemble(message, value, raw.relay_state, algorithm)).collect(),"),
    ("redirect: RelayState is signed", REDIRECT, "bytes: assemble(message, value, raw.relay_state, algorithm)", "bytes: assemble(message, value, None, algorithm)"),
    ("redirect: inflated bytes", REDIRECT, "if xml.len() > INFLATED {", "if false {"),
    ("redirect: bytes after the stream", REDIRECT, "if stream.total_in() != deflated.len() as u64 {", "if false {"),
    ("redirect: encoding", REDIRECT, '&& decoded("SAMLEncoding", encoding)? != DEFLATE', '&& decoded("SAMLEncoding", encoding)?.is_empty()'),
    ("redirect: length of RelayState", REDIRECT, "&& state.len() > RELAY_STATE", "&& state.len() > usize::MAX - 1"),
]
