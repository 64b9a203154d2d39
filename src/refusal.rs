//! The one way to say no: a status, a stable code, a sentence for people, and a cause for the log.

use std::time::Duration;

use http::StatusCode;

/// Why a request or a sign-in does not go on. `pages` turns it into a page or JSON; the cause goes
/// to the log only, joined by the request id.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which of the known refusals it is.
    pub reason: Reason,
    /// A sentence that the app or config gave for people, shown as text (never as markup).
    pub user_message: Option<String>,
    /// What really happened, for the log: no secrets.
    pub cause: String,
    /// The check that an IdP's answer did not pass, where one is to blame.
    pub check: Option<FailedCheck>,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
}

/// A check of an IdP's answer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// Its stable name, for the log.
    pub code: &'static str,
    /// What went wrong, for the page: instead of the reason's own sentence.
    pub sentence: &'static str,
}

impl Refusal {
    /// A refusal with the cause for the log.
    pub fn new(reason: Reason, cause: impl Into<String>) -> Self {
        Self {
            reason,
            user_message: None,
            cause: cause.into(),
            check: None,
            retry_after: None,
        }
    }

    /// The same, with the check that failed.
    #[must_use]
    pub fn at_check(mut self, check: FailedCheck) -> Self {
        self.check = Some(check);
        self
    }

    /// What happened, in a sentence for people.
    pub fn sentence(&self) -> &'static str {
        self.check
            .map_or_else(|| self.reason.message(), |check| check.sentence)
    }

    /// The same, with a sentence for people that the app gave.
    #[must_use]
    pub fn with_message(mut self, message: Option<String>) -> Self {
        self.user_message = message;
        self
    }

    /// The same, with a time after which trying again makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $status:ident, $code:literal, $title:literal, $message:literal, $advice:literal;)*) => {
        /// Every refusal that usher knows, with the status and the stable code of its JSON form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them, for the tests and the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The stable code: `error` in JSON, `reason` in logs and metrics.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The heading of the page.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What happened, in a sentence for people.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }

            /// What to do now, and whom to ask.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

reasons! {
    /// The request cannot be understood safely.
    BadRequest => BAD_REQUEST, "bad_request", "That request is not valid",
        "The request could not be understood.", "Go back and try again. If a link brought you here, tell its owner.";
    /// No session where one is needed.
    SignInRequired => UNAUTHORIZED, "sign_in_required", "Please sign in",
        "You need to sign in to see this.", "Sign in and try again.";
    /// The access rules or the roles say no.
    Forbidden => FORBIDDEN, "forbidden", "You do not have access to this page",
        "The rules of this app do not open this page to you.", "If you need it, ask whoever manages access to this app.";
    /// Forward-auth, asked by an address that is not in `trusted_proxies`.
    UntrustedProxy => FORBIDDEN, "untrusted_proxy", "This proxy is not trusted here",
        "Only the proxies that usher's config lists may ask whether a request may pass.", "If that address is your proxy, add it to trusted_proxies in usher's config file.";
    /// Somebody who is no admin at the admin pages.
    AdminOnly => FORBIDDEN, "admin_only", "These pages are for administrators",
        "You are signed in, but none of your groups may administer usher.", "Ask whoever runs usher to add you to a group of admin.allow.";
    /// A change without the token of its form, or from another site.
    FormInvalid => FORBIDDEN, "form_invalid", "Nothing was changed",
        "That form is no longer valid: it was made before your last sign-in, or it did not come from these pages.", "Open the page again and repeat what you wanted to do.";
    /// A change by an admin who signed in too long ago.
    SignInTooOld => FORBIDDEN, "sign_in_too_old", "Please sign in anew first",
        "To change something, you must have signed in within the last 15 minutes. Nothing was changed.", "Sign in anew: you come back to the page that you were on.";
    /// An admin's role where the groups of the IdP give one.
    ManagedByIdp => CONFLICT, "managed_by_idp", "That role is managed by the identity provider",
        "A group of the identity provider gives this person a role in that app, so it cannot be set here. Nothing was changed.", "Change the group at the identity provider, or the mapping in the config file.";
    /// No role was mapped and there is no default.
    NoRole => FORBIDDEN, "no_role", "You do not have a role in this app",
        "You are signed in, but none of your groups gives you a role here.", "Ask your administrator to add you to a group that this app knows.";
    /// JIT is off and the user has no account.
    NoAccount => FORBIDDEN, "no_account", "You do not have an account here yet",
        "You are signed in, but this app only lets in people who were invited.", "Ask whoever manages this app to invite you.";
    /// The app refused the account.
    AccountRefused => FORBIDDEN, "account_refused", "The app did not let you in",
        "You are signed in, but the app refused to open an account for you.", "Ask whoever manages this app.";
    /// The app needs an e-mail address and the IdP gave none.
    EmailMissing => FORBIDDEN, "email_missing", "Your e-mail address is missing",
        "Your identity provider did not send an e-mail address, and this app needs one.", "Ask your administrator to release your e-mail address to this app.";
    /// The IdP says that the e-mail is not verified.
    EmailNotVerified => FORBIDDEN, "email_not_verified", "Your e-mail address is not verified",
        "Your identity provider says that your e-mail address has not been verified.", "Verify your e-mail address there, then sign in again.";
    /// The IdP asserted an e-mail of a domain that is not its own.
    EmailDomain => FORBIDDEN, "email_domain", "That e-mail address is not accepted here",
        "The identity provider you used may not vouch for your e-mail domain.", "Sign in with the identity provider of your own organisation.";
    /// Another user holds the e-mail or username.
    IdentityConflict => FORBIDDEN, "identity_conflict", "That name belongs to somebody else",
        "Another person here already has your e-mail address or username.", "Ask your administrator: two identities share one address or username.";
    /// The user was deactivated.
    Deactivated => FORBIDDEN, "deactivated", "Your access has ended",
        "Your access has been switched off.", "Ask your administrator if you think that is a mistake.";
    /// The user cancelled, or the IdP refused.
    IdpRefused => FORBIDDEN, "idp_refused", "Your identity provider did not sign you in",
        "The sign-in was cancelled or refused there.", "Try again, or ask the people who run your identity provider.";
    /// The IdP's answer did not pass a check.
    InvalidLogin => FORBIDDEN, "invalid_login", "The sign-in could not be verified",
        "The answer of your identity provider did not pass our checks, so nobody was signed in.", "Try again. If it happens again, give your administrator the request id below.";
    /// A message of the IdP about signing out did not pass a check.
    InvalidLogout => FORBIDDEN, "invalid_logout", "The sign-out could not be verified",
        "A message of your identity provider about signing out did not pass our checks, so it changed nothing here.", "If you were just signing out: you are signed out here. Close your browser, or sign out at your identity provider, to be signed out there too.";
    /// The sign-in state is missing, expired, used or was changed.
    StateInvalid => BAD_REQUEST, "state_invalid", "This sign-in has expired",
        "This sign-in was already used, took too long, or began in another browser.", "Start again. If it keeps happening, allow cookies for this site.";
    /// The form of a page without a session was posted by another site, another browser, or after an hour.
    ForeignForm => FORBIDDEN, "foreign_form", "That form cannot be used any more",
        "The form was open for too long, or it was not sent from this site.", "Open the page again and fill the form in anew. If it keeps happening, allow cookies for this site.";
    /// Local accounts: the password is right, and only break-glass accounts may use theirs.
    SsoRequired => FORBIDDEN, "sso_required", "Please sign in through your organisation",
        "Passwords are for emergencies only here.", "Use the sign-in of your organisation.";
    /// The link of an invitation leads to nothing.
    InvitationUnknown => NOT_FOUND, "invitation_unknown", "This invitation link is not valid",
        "The link is incomplete, or it was never one of ours.", "Copy the whole link from the letter, or ask whoever invited you for a new one.";
    /// The invitation was not accepted in time.
    InvitationExpired => GONE, "invitation_expired", "This invitation has expired",
        "The invitation was not accepted in time.", "Ask whoever invited you for a new link.";
    /// The invitation was accepted.
    InvitationUsed => GONE, "invitation_used", "This invitation was already accepted",
        "Each invitation link works once, and this one was used.", "If that was you, sign in as usual. If it was not, tell whoever invited you.";
    /// The invitation was taken back.
    InvitationWithdrawn => GONE, "invitation_withdrawn", "This invitation was withdrawn",
        "The invitation was taken back, or replaced by a newer one.", "Look for a newer letter, or ask whoever invited you.";
    /// Signing in again and again without getting through.
    SignInLoop => BAD_REQUEST, "sign_in_loop", "Signing in goes round in circles",
        "You were signed in several times within a minute, but your browser did not send the session back.", "Allow cookies for this site and check the clock of your device, then start again.";
    /// No such IdP, or it is switched off.
    UnknownIdp => NOT_FOUND, "unknown_idp", "There is no such identity provider",
        "The identity provider in that address is not set up here.", "Start from the sign-in page.";
    /// No identity provider has that e-mail domain.
    UnknownDomain => NOT_FOUND, "unknown_domain", "No identity provider for that address",
        "No organisation here uses that e-mail domain.", "Check the address for typing mistakes, or choose an identity provider by name.";
    /// Nothing there.
    NotFound => NOT_FOUND, "not_found", "There is nothing here",
        "That page does not exist.", "Check the address.";
    /// The method does not fit the path.
    MethodNotAllowed => METHOD_NOT_ALLOWED, "method_not_allowed", "That is not possible here",
        "That address does not accept this kind of request.", "Go back and try again.";
    /// The Host is none of ours.
    UnknownHost => MISDIRECTED_REQUEST, "unknown_host", "This host is not served here",
        "The address you used does not belong to any app here.", "Check the address, or ask whoever gave it to you.";
    /// The body is larger than `limits.body`.
    BodyTooLarge => PAYLOAD_TOO_LARGE, "body_too_large", "That is too large",
        "The request is larger than this app accepts.", "Send something smaller, or ask whoever manages this app.";
    /// The headers are larger or more than `limits` says.
    HeadersTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "Your browser sent too much",
        "The headers of the request, usually cookies, are larger than accepted here.", "Clear the cookies of this site and try again.";
    /// Too many requests of that kind.
    TooManyRequests => TOO_MANY_REQUESTS, "too_many_requests", "Please slow down",
        "There were too many attempts from your address.", "Wait a minute and try again.";
    /// The IdP cannot be reached or answers nonsense.
    IdpDown => SERVICE_UNAVAILABLE, "idp_unavailable", "Your identity provider cannot be reached",
        "We could not reach your identity provider, so nobody can sign in through it right now.", "Try again in a minute. People who are signed in already can go on working.";
    /// The callback cannot be reached or is failing.
    CallbackDown => SERVICE_UNAVAILABLE, "callback_unavailable", "Your account could not be set up yet",
        "The app that keeps your account did not answer.", "Try again in a minute. You do not need to sign in again.";
    /// The callback gave a final error.
    CallbackFailed => BAD_GATEWAY, "callback_failed", "Your account could not be set up",
        "The app answered the request to open your account in a way that makes no sense.", "Tell whoever manages this app, with the request id below.";
    /// The session store fails.
    StoreDown => SERVICE_UNAVAILABLE, "store_unavailable", "We cannot check your sign-in right now",
        "The place where sign-ins are kept does not answer.", "Try again in a minute.";
    /// The app cannot be reached.
    AppDown => BAD_GATEWAY, "app_unreachable", "The app cannot be reached",
        "usher is running, but the app behind it does not answer.", "Try again in a minute. If it stays like this, tell whoever manages this app.";
    /// The app took longer than `timeouts.response`.
    AppTimeout => GATEWAY_TIMEOUT, "app_timeout", "The app took too long",
        "The app behind this address did not answer in time.", "Try again. If it stays like this, tell whoever manages this app.";
    /// A fault of our own.
    Internal => INTERNAL_SERVER_ERROR, "internal", "Something went wrong",
        "Something went wrong on our side.", "Try again. If it happens again, give your administrator the request id below.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_used_once_and_every_status_is_an_error() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(reason.status().is_client_error() || reason.status().is_server_error());
        }
    }
}
