//! Mail that usher sends: over SMTP, one letter at a time, with deadlines.

use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use url::Url;

use crate::config::MailConfig;
use crate::outbound;

/// For each step of the conversation.
const STEP: Duration = Duration::from_secs(10);
/// For a whole letter.
const IN_ALL: Duration = Duration::from_secs(30);

/// Sends letters.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The transport would show the password.
        write!(out, "Mailer(from {})", self.from)
    }
}

/// A letter to one person.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The address.
    pub to: &'a str,
    /// The subject: one line.
    pub subject: String,
    /// As text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// Why a letter was not sent; never with the password of the server.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The settings, an address or a root certificate cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The server could not be reached, or said no.
    #[error("the mail server: {0}")]
    Server(String),
    /// It took too long.
    #[error("the mail server did not answer in time")]
    Timeout,
}

impl Mailer {
    /// For the config; no connection is made yet.
    ///
    /// # Errors
    /// [`MailError::Invalid`].
    pub fn new(config: &MailConfig) -> Result<Self, MailError> {
        let from = config
            .from
            .parse()
            .map_err(|_| MailError::Invalid(format!("`{}` is no sender for mail", config.from)))?;
        let url = config.url.expose();
        let invalid = |error: lettre::transport::smtp::Error| MailError::Invalid(causes(&error));
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(invalid)?;
        if let Some(tls) = tls(url)? {
            builder = builder.tls(tls);
        }
        Ok(Self {
            transport: builder.timeout(Some(STEP)).build(),
            from,
        })
    }

    /// Sends one letter. It is not tried again.
    ///
    /// # Errors
    /// As [`MailError`] tells.
    pub async fn send(&self, letter: &Letter<'_>) -> Result<(), MailError> {
        let message = self.message(letter)?;
        in_time(async { self.transport.send(message).await.map(|_| ()) }).await
    }

    /// Connects and signs in, without sending anything.
    ///
    /// # Errors
    /// As [`MailError`] tells.
    pub async fn test(&self) -> Result<(), MailError> {
        let there = in_time(self.transport.test_connection()).await?;
        there
            .then_some(())
            .ok_or_else(|| MailError::Server("it hung up".to_owned()))
    }

    /// Addresses are parsed and fields encoded: nothing in them can begin another field.
    fn message(&self, letter: &Letter<'_>) -> Result<Message, MailError> {
        let to: lettre::Address = letter
            .to
            .parse()
            .map_err(|_| MailError::Invalid("the recipient is no e-mail address".to_owned()))?;
        let subject: String = letter
            .subject
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .multipart(MultiPart::alternative_plain_html(
                letter.text.clone(),
                letter.html.clone(),
            ))
            .map_err(|error| MailError::Invalid(error.to_string()))
    }
}

/// The TLS of the URL, with the certificate authorities that all of usher's connections trust.
fn tls(url: &str) -> Result<Option<Tls>, MailError> {
    let bad = |error: &dyn std::error::Error| MailError::Invalid(error.to_string());
    let url = Url::parse(url).map_err(|error| bad(&error))?;
    let wanted = url.query_pairs().find(|(name, _)| name == "tls");
    let kind: fn(TlsParameters) -> Tls =
        match (url.scheme(), wanted.as_ref().map(|(_, how)| &**how)) {
            ("smtps", _) => Tls::Wrapper,
            (_, Some("required")) => Tls::Required,
            (_, Some("opportunistic")) => Tls::Opportunistic,
            (_, Some(_) | None) => return Ok(None),
        };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let mut parameters = TlsParameters::builder(host.to_owned());
    for pem in outbound::extra_roots().map_err(|error| bad(&error))? {
        let root = Certificate::from_pem(&pem).map_err(|error| bad(&error))?;
        parameters = parameters.add_root_certificate(root);
    }
    Ok(Some(kind(parameters.build().map_err(|error| bad(&error))?)))
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, MailError> {
    match tokio::time::timeout(IN_ALL, work).await {
        Ok(done) => done.map_err(|error| MailError::Server(causes(&error))),
        Err(_) => Err(MailError::Timeout),
    }
}

/// An error with what is behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secret::Secret;

    fn mailer(url: &str) -> Result<Mailer, MailError> {
        Mailer::new(&MailConfig {
            url: Secret::new(url),
            from: "usher <usher@corp.example>".to_owned(),
        })
    }

    #[test]
    fn nothing_in_a_letter_begins_another_field() {
        let mailer = mailer("smtp://localhost:25").unwrap();
        let letter = |to: &'static str, subject: &str| Letter {
            to,
            subject: subject.to_owned(),
            text: "hello".to_owned(),
            html: "<p>hello</p>".to_owned(),
        };
        let message = mailer
            .message(&letter("ann@x.example", "Hi\r\nBcc: eve@x.example"))
            .unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert_eq!(message.envelope().to().len(), 1);
        for to in [
            "ann@x.example\r\nBcc: eve@x.example",
            "ann@x.example, eve@x.example",
            "Ann <ann@x.example>",
        ] {
            assert!(mailer.message(&letter(to, "Hi")).is_err(), "{to}");
        }
    }

    #[test]
    fn never_shows_the_password() {
        for url in [
            "smtps://usher:hunter2@mail.corp.example",
            "smtp://usher:hunter2@mail.corp.example?tls=required",
        ] {
            assert!(!format!("{:?}", mailer(url).unwrap()).contains("hunter2"));
        }
        assert!(
            !format!(
                "{:?}",
                mailer("ftp://usher:hunter2@mail.corp.example").err()
            )
            .contains("hunter2")
        );
    }
}
