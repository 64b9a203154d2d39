//! One event on its way to an app: signed tries within 8 seconds (Standard Webhooks 1.0).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::answer::{Verdict, verdict};
use super::circuit::{Circuit, Permit};
use super::driver::Wire;
use crate::config::{App, Callback, Provisioning, Target, WebhookKey};
use crate::directory::Event;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, OutboundError};
use crate::trace::Call;

/// For all tries together: so much less than the 8 seconds of the contract that the page is there by then.
pub(super) const IN_ALL: Duration = Duration::from_millis(7750);
/// For one try.
pub(super) const ONE_TRY: Duration = Duration::from_secs(3);
/// A try with less time than this is not begun.
pub(super) const AT_LEAST: Duration = Duration::from_millis(100);
/// Pause after the first failed try; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause of our own; `Retry-After` may ask for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// When to come back where the app does not say.
const COME_BACK: Duration = Duration::from_secs(10);
/// Bytes of an answer.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Everything that a delivery needs.
pub(super) struct Delivery<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) metrics: &'a Metrics,
    pub(super) circuit: &'a Circuit,
    pub(super) app: &'a App,
    pub(super) provisioning: &'a Provisioning,
    pub(super) target: &'a Target,
    /// Whether failures open the circuit.
    pub(super) opens: bool,
    /// When the request that asks for it began.
    pub(super) now: Timestamp,
    /// When all tries are over.
    pub(super) deadline: Instant,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A final answer.
    Answered(Verdict),
    /// None, and no more time.
    Down {
        /// What happened last.
        cause: String,
        /// When to come back.
        retry_after: Duration,
        /// Whether the app was asked at all.
        asked: bool,
    },
}

impl Delivery<'_> {
    /// Tries until there is a final answer or the time is over, and logs one line. The tries are counted in the event.
    pub(super) async fn run(&self, event: &mut Event) -> Outcome {
        let begun = Instant::now();
        let before = event.tries;
        let outcome = self.tries(event).await;
        self.log(event, event.tries - before, begun, &outcome);
        outcome
    }

    /// Tries once, for the outbox, and logs one line. A circuit that is open is respected; what fails opens none, since nobody waits for it and the
    /// tries of one event grow rare by themselves.
    pub(super) async fn once(&self, event: &mut Event) -> Outcome {
        let begun = Instant::now();
        let outcome = match self.circuit.permit(begun) {
            Err(wait) => self.left_alone(wait),
            Ok(mut permit) => {
                event.tries += 1;
                match self.one(event, &mut permit).await {
                    Verdict::Again { cause, after } => Outcome::Down {
                        cause,
                        retry_after: after.unwrap_or_default(),
                        asked: true,
                    },
                    verdict @ (Verdict::Allowed { .. }
                    | Verdict::Refused { .. }
                    | Verdict::Wrong { .. }) => Outcome::Answered(verdict),
                }
            }
        };
        self.log(event, 1, begun, &outcome);
        outcome
    }

    fn log(&self, event: &Event, tries: u32, begun: Instant, outcome: &Outcome) {
        let (code, cause) = match outcome {
            Outcome::Answered(verdict) => (verdict.code(), verdict.cause()),
            Outcome::Down { cause, .. } => ("down", Some(cause.as_str())),
        };
        tracing::info!(
            app = %event.app,
            user = %event.user,
            event = %event.id,
            kind = event.kind.as_str(),
            outcome = code,
            tries,
            took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            cause,
            "callback"
        );
    }

    fn left_alone(&self, wait: Duration) -> Outcome {
        self.count("not_asked");
        Outcome::Down {
            cause: "the callback failed too often; it is left alone for a while".to_owned(),
            retry_after: wait,
            asked: false,
        }
    }

    async fn tries(&self, event: &mut Event) -> Outcome {
        let mut permit = match self.circuit.permit(Instant::now()) {
            Ok(permit) => permit,
            Err(wait) => return self.left_alone(wait),
        };
        let room = tokio::time::timeout_at(self.deadline, self.circuit.room.acquire()).await;
        let Ok(Ok(_room)) = room else {
            self.count("not_asked");
            return Outcome::Down {
                cause: "too many callbacks of this app are under way".to_owned(),
                retry_after: COME_BACK,
                asked: false,
            };
        };
        let mut pause = FIRST_PAUSE;
        loop {
            event.tries += 1;
            let (cause, after) = match self.one(event, &mut permit).await {
                Verdict::Again { cause, after } => (cause, after),
                verdict @ (Verdict::Allowed { .. }
                | Verdict::Refused { .. }
                | Verdict::Wrong { .. }) => return Outcome::Answered(verdict),
            };
            let wait = jittered(pause).max(after.unwrap_or_default());
            let left = self.deadline.saturating_duration_since(Instant::now());
            if permit.probe || left < wait.saturating_add(AT_LEAST) {
                return Outcome::Down {
                    cause,
                    retry_after: after.unwrap_or(COME_BACK),
                    asked: true,
                };
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One try; its time and signature are its own.
    async fn one(&self, event: &Event, permit: &mut Permit<'_>) -> Verdict {
        let now = self.time();
        let wire = Wire {
            outbound: self.outbound,
            event,
            now,
            deadline: self.deadline,
        };
        let verdict = match self.target {
            Target::Callback(callback) => self.call(callback, event, now).await,
            Target::Scim(scim) => wire.by_scim(scim).await,
            Target::Rest(rest) => wire.by_rest(rest).await,
        };
        self.count(verdict.code());
        match verdict {
            Verdict::Again { .. } if permit.probe || self.opens => permit.failed(Instant::now()),
            Verdict::Again { .. } => {}
            Verdict::Allowed { .. } | Verdict::Refused { .. } | Verdict::Wrong { .. } => {
                permit.answered();
            }
        }
        verdict
    }

    /// Posts the event to the callback.
    async fn call(&self, callback: &Callback, event: &Event, now: Timestamp) -> Verdict {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let answer = match request(callback, event, now) {
            Ok(request) => {
                self.outbound
                    .send(request, BODY_LIMIT, ONE_TRY.min(left))
                    .await
            }
            Err(error) => Err(OutboundError::Invalid(error.to_string())),
        };
        verdict(answer, self.provisioning, callback, now)
    }

    /// The time now: the caller's, and what went by since.
    fn time(&self) -> Timestamp {
        let began = self.deadline - IN_ALL;
        let gone = SignedDuration::try_from(Instant::now().saturating_duration_since(began));
        self.now
            .saturating_add(gone.unwrap_or_default())
            .unwrap_or(self.now)
    }

    fn count(&self, outcome: &str) {
        Metrics::count(&self.metrics.callbacks, self.app.id.as_str(), outcome);
    }
}

/// The signed request of an event.
fn request(
    callback: &Callback,
    event: &Event,
    now: Timestamp,
) -> Result<Request<Bytes>, http::Error> {
    let time = now.as_second();
    Request::post(callback.url.as_str())
        .extension(Call::to_app("callback"))
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", time)
        .header(
            "webhook-signature",
            signatures(&callback.secrets, &event.id, time, &event.body),
        )
        .body(Bytes::from(event.body.clone()))
}

/// One signature for each secret, so that the app may change to the new one at any time.
fn signatures(secrets: &[WebhookKey], id: &str, time: i64, body: &str) -> String {
    let signed = format!("{id}.{time}.{body}");
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
            let tag = hmac::sign(&key, signed.as_bytes());
            format!("v1,{}", STANDARD.encode(tag))
        })
        .collect();
    signatures.join(" ")
}

/// Between half of a pause and all of it, so that many that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without a random byte the pause is just shorter.
    if aws_lc_rs::rand::fill(&mut byte).is_err() {
        return pause / 2;
    }
    pause / 2 + pause / 2 * u32::from(byte[0]) / 255
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn signs_as_the_standard_s_own_example() {
        // From the Standard Webhooks specification, "Signature scheme".
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signatures(
            &[WebhookKey(secret.clone()), WebhookKey(vec![1; 24])],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,") && second != first);
    }
}
