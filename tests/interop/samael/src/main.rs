//! samael as an IdP without a server: it reads usher's messages and makes an IdP's. One JSON request on each line of stdin,
//! one JSON answer on each line of stdout; an answer with `error` says what samael had against it. Its key is RSA, or P-256 with
//! the argument `p256`.

use std::error::Error;
use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{Duration, Utc};
use flate2::read::DeflateDecoder;
use samael::attribute::{Attribute, AttributeValue};
use samael::crypto::{CertificateDer, Crypto, CryptoProvider, UrlVerifier};
use samael::idp::response_builder::build_response_template;
use samael::idp::sp_extractor::SPMetadataExtractor;
use samael::idp::verified_request::UnverifiedAuthnRequest;
use samael::idp::{CertificateParams, Elliptic, IdentityProvider, KeyType, Rsa};
use samael::metadata::EntityDescriptor;
use samael::schema::{
    AttributeStatement, Issuer, LogoutRequest, LogoutResponse, NameID, Status, StatusCode,
};
use samael::signature::{DigestAlgorithm, Signature, SignatureAlgorithm};
use samael::traits::ToXml;
use serde_json::{Value, json};
use url::Url;

type Answer = Result<Value, Box<dyn Error>>;

/// The IdP: a key of its own, and the SP's metadata document once it is known.
struct Peer {
    idp: IdentityProvider,
    certificate: CertificateDer,
    algorithm: SignatureAlgorithm,
    sp: Option<SPMetadataExtractor>,
}

fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, Box<dyn Error>> {
    request[name]
        .as_str()
        .ok_or_else(|| format!("`{name}` is missing").into())
}

impl Peer {
    fn new(p256: bool) -> Result<Self, Box<dyn Error>> {
        let (key, algorithm) = if p256 {
            (
                KeyType::Elliptic(Elliptic::NISTP256),
                SignatureAlgorithm::EcdsaSha256,
            )
        } else {
            (KeyType::Rsa(Rsa::Rsa2048), SignatureAlgorithm::RsaSha256)
        };
        let idp = IdentityProvider::generate_new(key)?;
        let certificate = idp.create_certificate(&CertificateParams {
            common_name: "samael",
            issuer_name: "samael",
            days_until_expiration: 365,
        })?;
        Ok(Self {
            idp,
            certificate,
            algorithm,
            sp: None,
        })
    }

    fn answer(&mut self, request: &Value) -> Answer {
        match text(request, "do")? {
            "certificate" => {
                Ok(json!({ "certificate": STANDARD.encode(self.certificate.der_data()) }))
            }
            "trust" => self.trust(text(request, "metadata")?),
            "authn_request_redirect" => {
                self.redirected(text(request, "url")?, |xml| authn_request(&xml.parse()?))
            }
            "authn_request_post" => self.authn_request_posted(text(request, "xml")?),
            "logout_request_redirect" => {
                self.redirected(text(request, "url")?, |xml| logout_request(&xml.parse()?))
            }
            "logout_request_post" => {
                self.posted(text(request, "xml")?, |xml| logout_request(&xml.parse()?))
            }
            "logout_response_redirect" => {
                self.redirected(text(request, "url")?, |xml| logout_response(&xml.parse()?))
            }
            "logout_response_post" => {
                self.posted(text(request, "xml")?, |xml| logout_response(&xml.parse()?))
            }
            "respond" => self.respond(request),
            "make_logout_request" => self.make_logout_request(request),
            "make_logout_response" => self.make_logout_response(request),
            other => Err(format!("no `{other}` here").into()),
        }
    }

    /// Reads usher's metadata, whose signature must verify where it has one.
    fn trust(&mut self, xml: &str) -> Answer {
        let descriptor: EntityDescriptor = xml.parse()?;
        let extractor = SPMetadataExtractor::try_from_xml(xml)?;
        let certificate = extractor.verification_cert()?;
        if descriptor.signature.is_some() {
            Crypto::verify_signed_xml(xml, &certificate, Some("ID"))?;
        }
        let roles = descriptor.sp_sso_descriptors.unwrap_or_default();
        let role = roles.first().ok_or("no SPSSODescriptor")?;
        let keys = role.key_descriptors.clone().unwrap_or_default();
        let slo: Vec<_> = role
            .single_logout_services
            .iter()
            .flatten()
            .map(|one| one.location.clone())
            .collect();
        let answer = json!({
            "entity_id": extractor.issuer()?,
            "acs": extractor.acs()?.url,
            "slo": slo,
            "signing": keys.iter().filter(|key| key.is_signing()).count(),
            "encryption": keys.iter().filter(|key| key.key_use.as_deref() != Some("signing")).count(),
            "authn_requests_signed": role.authn_requests_signed,
            "formats": role.name_id_formats,
            "signed": descriptor.signature.is_some(),
        });
        self.sp = Some(extractor);
        Ok(answer)
    }

    fn sp_certificate(&self) -> Result<CertificateDer, Box<dyn Error>> {
        self.sp
            .as_ref()
            .ok_or("no SP is trusted yet")?
            .verification_cert()
    }

    /// A message by the Redirect binding whose signature verifies.
    fn redirected(&self, url: &str, read: impl Fn(&str) -> Answer) -> Answer {
        let url: Url = url.parse()?;
        let message = |name: &str| {
            url.query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let verifier = UrlVerifier::from_x509(&self.sp_certificate()?)?;
        let (good, encoded) = match (message("SAMLRequest"), message("SAMLResponse")) {
            (Some(request), _) => (verifier.verify_signed_request_url(&url)?, request),
            (None, Some(response)) => (verifier.verify_signed_response_url(&url)?, response),
            (None, None) => return Err("no message in the URL".into()),
        };
        if !good {
            return Err("the signature does not verify".into());
        }
        let mut xml = String::new();
        DeflateDecoder::new(STANDARD.decode(encoded)?.as_slice()).read_to_string(&mut xml)?;
        read(&xml)
    }

    /// A message by the POST binding whose enveloped signature verifies.
    fn posted(&self, xml: &str, read: impl Fn(&str) -> Answer) -> Answer {
        Crypto::verify_signed_xml(xml, &self.sp_certificate()?, Some("ID"))?;
        read(xml)
    }

    fn authn_request_posted(&self, xml: &str) -> Answer {
        let verified =
            UnverifiedAuthnRequest::from_xml(xml)?.try_verify_with_cert(&self.sp_certificate()?)?;
        authn_request(&verified)
    }

    fn sign(&self, xml: &str) -> Result<String, Box<dyn Error>> {
        Ok(Crypto::sign_xml(xml, &self.idp.export_private_key_der()?)?)
    }

    /// samael's own template has the digest SHA-1, which `digest: sha1` keeps.
    fn signature(&self, id: &str, request: &Value) -> Signature {
        let mut template = Signature::template(id, &self.certificate);
        template.signed_info.signature_method.algorithm = self.algorithm.clone();
        if request["digest"] != "sha1" {
            for reference in &mut template.signed_info.reference {
                reference.digest_method.algorithm = DigestAlgorithm::Sha256;
            }
        }
        template
    }

    /// samael's response leaves out times and the NameID's format: they are set here, unless `bare` asks for it as it is.
    fn respond(&self, request: &Value) -> Answer {
        let (sp, acs) = (text(request, "sp")?, text(request, "acs")?);
        let name_id = text(request, "name_id")?;
        let request_id = text(request, "request_id")?;
        let mut response = build_response_template(
            &self.certificate,
            name_id,
            sp,
            text(request, "issuer")?,
            acs,
            request_id,
            &[],
        );
        let until = Utc::now() + Duration::minutes(5);
        let mut assertion = response.assertion.take().ok_or("no assertion")?;
        if request["bare"] != true {
            let subject = assertion.subject.as_mut().ok_or("no subject")?;
            if let Some(id) = subject.name_id.as_mut() {
                id.format = Some(text(request, "format")?.to_owned());
            }
            for confirmation in subject.subject_confirmations.iter_mut().flatten() {
                if let Some(data) = confirmation.subject_confirmation_data.as_mut() {
                    data.not_on_or_after = Some(until);
                }
            }
            if let Some(conditions) = assertion.conditions.as_mut() {
                conditions.not_on_or_after = Some(until);
            }
            for statement in assertion.authn_statements.iter_mut().flatten() {
                statement.session_index = request["session_index"].as_str().map(str::to_owned);
            }
        }
        assertion.attribute_statements = Some(vec![AttributeStatement {
            attributes: attributes(&request["attributes"]),
        }]);
        if request["sign"] == "assertion" {
            assertion.signature = Some(self.signature(&assertion.id, request));
            response.signature = None;
        } else {
            response.signature = Some(self.signature(&response.id, request));
        }
        response.assertion = Some(assertion);
        let signed = self.sign(&response.to_string()?)?;
        Ok(json!({ "response": STANDARD.encode(signed) }))
    }

    fn make_logout_request(&self, request: &Value) -> Answer {
        let id = text(request, "id")?;
        let message = LogoutRequest {
            id: Some(id.to_owned()),
            version: Some("2.0".to_owned()),
            issue_instant: Some(Utc::now()),
            destination: Some(text(request, "destination")?.to_owned()),
            issuer: Some(Issuer {
                value: Some(text(request, "issuer")?.to_owned()),
                ..Issuer::default()
            }),
            signature: Some(self.signature(id, request)),
            session_index: request["session_index"].as_str().map(str::to_owned),
            name_id: Some(NameID {
                format: Some(text(request, "format")?.to_owned()),
                value: text(request, "name_id")?.to_owned(),
            }),
        };
        Ok(json!({ "message": STANDARD.encode(self.sign(&message.to_string()?)?) }))
    }

    fn make_logout_response(&self, request: &Value) -> Answer {
        let id = text(request, "id")?;
        let message = LogoutResponse {
            id: Some(id.to_owned()),
            in_response_to: Some(text(request, "in_response_to")?.to_owned()),
            version: Some("2.0".to_owned()),
            issue_instant: Some(Utc::now()),
            destination: Some(text(request, "destination")?.to_owned()),
            consent: None,
            issuer: Some(Issuer {
                value: Some(text(request, "issuer")?.to_owned()),
                ..Issuer::default()
            }),
            signature: Some(self.signature(id, request)),
            status: Some(Status {
                status_code: StatusCode {
                    value: Some("urn:oasis:names:tc:SAML:2.0:status:Success".to_owned()),
                },
                status_message: None,
                status_detail: None,
            }),
        };
        Ok(json!({ "message": STANDARD.encode(self.sign(&message.to_string()?)?) }))
    }
}

fn attributes(wanted: &Value) -> Vec<Attribute> {
    wanted
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, values)| Attribute {
            friendly_name: None,
            name: Some(name.clone()),
            name_format: Some("urn:oasis:names:tc:SAML:2.0:attrname-format:basic".to_owned()),
            values: values
                .as_array()
                .into_iter()
                .flatten()
                .map(|value| AttributeValue {
                    attribute_type: Some("xs:string".to_owned()),
                    value: value.as_str().map(str::to_owned),
                })
                .collect(),
        })
        .collect()
}

fn authn_request(message: &samael::schema::AuthnRequest) -> Answer {
    Ok(json!({
        "id": message.id,
        "issuer": message.issuer_value(),
        "destination": message.destination,
        "acs": message.assertion_consumer_service_url,
        "binding": message.protocol_binding,
        "format": message.name_id_policy.as_ref().and_then(|policy| policy.format.clone()),
        "force_authn": message.force_authn,
        "is_passive": message.is_passive,
    }))
}

/// samael reads neither SessionIndex nor the NameID's format.
fn logout_request(message: &LogoutRequest) -> Answer {
    Ok(json!({
        "id": message.id,
        "issuer": message.issuer.as_ref().and_then(|issuer| issuer.value.clone()),
        "destination": message.destination,
        "name_id": message.name_id.as_ref().map(|name_id| name_id.value.clone()),
    }))
}

fn logout_response(message: &LogoutResponse) -> Answer {
    Ok(json!({
        "in_response_to": message.in_response_to,
        "issuer": message.issuer.as_ref().and_then(|issuer| issuer.value.clone()),
        "destination": message.destination,
        "status": message.status.as_ref().and_then(|status| status.status_code.value.clone()),
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut peer = Peer::new(std::env::args().nth(1).as_deref() == Some("p256"))?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = peer
            .answer(&request)
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
