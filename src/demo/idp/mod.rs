//! The OpenID Connect provider to try usher with. The tests use the same one: it does everything right until a
//! [`Fault`] tells it what to do wrong.

mod authorize;
mod client_auth;
mod discovery;
mod faults;
mod graph;
mod keys;
mod login_page;
mod logout;
mod mint;
mod model;
mod params;
mod serve;
mod state;
mod token;
mod userinfo;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use faults::{
    AuthorizeFault, DiscoveryFault, Endpoint, EndpointFault, Fault, Hmac, HmacKey, JwksFault,
    KeyHint, Overage, ResponseFault, TokenFault, UserinfoFault,
};
pub use model::{
    AssertionKey, ClaimsIn, Client, ClientAuth, RedirectUris, Settings, SigningAlgorithm, TestUser,
};
pub use state::{Counts, TokenRequest};

use faults::Times;
use keys::FirstRsa;
use state::Shared;

/// The `client_id` that every [`TestIdp`] starts with.
pub const CLIENT_ID: &str = "usher";
/// The secret of [`CLIENT_ID`]; for tests.
pub const CLIENT_SECRET: &str = "test-only-client-secret";

/// Why the IdP could not do its work; none of these is a fault that a test set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdpError {
    /// A key that cannot be read, made or used.
    #[error("a signing key cannot be used")]
    Key,
    /// The system gives no randomness.
    #[error("no randomness")]
    Random,
}

/// A running IdP. It ends when this value is dropped.
pub struct TestIdp {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<AbortHandle>>,
}

impl TestIdp {
    /// Listens and serves on the caller's runtime. Port 0 takes a free one. The client [`CLIENT_ID`] with
    /// [`CLIENT_SECRET`] is registered for every loopback redirect URI.
    ///
    /// # Errors
    /// The address cannot be bound, or the keys cannot be made.
    pub async fn start(address: SocketAddr, users: Vec<TestUser>) -> io::Result<TestIdp> {
        TestIdp::start_with(address, users, FirstRsa::Fixed).await
    }

    /// As [`TestIdp::start`], with keys that no other IdP has; the key ids are the same, as they may be anywhere. For
    /// tests of two IdPs: making the RSA key takes up to a second.
    ///
    /// # Errors
    /// The address cannot be bound, or the keys cannot be made.
    pub async fn start_with_own_keys(
        address: SocketAddr,
        users: Vec<TestUser>,
    ) -> io::Result<TestIdp> {
        TestIdp::start_with(address, users, FirstRsa::Own).await
    }

    async fn start_with(
        address: SocketAddr,
        users: Vec<TestUser>,
        first_rsa: FirstRsa,
    ) -> io::Result<TestIdp> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let client = Client::confidential(CLIENT_ID, CLIENT_SECRET);
        let shared = Shared::new(format!("http://{address}"), users, vec![client], first_rsa)
            .map_err(io::Error::other)?;
        let shared = Arc::new(shared);
        let server = serve::spawn(listener, Arc::clone(&shared));
        Ok(TestIdp {
            shared,
            address,
            server: Mutex::new(Some(server)),
        })
    }

    /// Ends the listener and cuts every connection. What the IdP knows stays for [`TestIdp::restart`].
    pub fn stop(&self) {
        let server = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(server) = server {
            server.abort();
        }
    }

    /// Serves again on the same port, with the same keys, users and sessions.
    ///
    /// # Errors
    /// Another process has the port by now.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop();
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(problem) if problem.kind() == io::ErrorKind::AddrInUse && tries < 100 => {
                    // The task that held the port is only gone once the runtime dropped it.
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                Err(problem) => return Err(problem),
            }
        };
        let server = serve::spawn(listener, Arc::clone(&self.shared));
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// The issuer, `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Registers a client; one with the same id is replaced.
    pub fn register(&self, client: Client) {
        let mut inner = self.shared.lock();
        inner.clients.retain(|known| known.id != client.id);
        inner.clients.push(client);
    }

    /// Adds a person; one with the same user name is replaced.
    pub fn put_user(&self, user: TestUser) {
        let mut inner = self.shared.lock();
        match inner
            .users
            .iter_mut()
            .find(|known| known.username == user.username)
        {
            Some(known) => *known = user,
            None => inner.users.push(user),
        }
    }

    /// Changes a person, if there is one of that user name.
    pub fn change_user(&self, username: &str, change: impl FnOnce(&mut TestUser)) {
        let mut inner = self.shared.lock();
        if let Some(user) = inner
            .users
            .iter_mut()
            .find(|user| user.username == username)
        {
            change(user);
        }
    }

    /// The person of that user name.
    pub fn user(&self, username: &str) -> Option<TestUser> {
        self.shared.lock().user(username).cloned()
    }

    /// Changes how the IdP behaves when nothing is wrong.
    pub fn settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.lock().settings);
    }

    /// This person signs in without the login page; `None`: the page again.
    pub fn sign_in_as(&self, username: Option<&str>) {
        self.settings(|settings| settings.sign_in_as = username.map(str::to_owned));
    }

    /// Does this wrong the next time it can.
    pub fn next(&self, fault: Fault) {
        self.shared.lock().faults.add(fault, Times::Next);
    }

    /// Does this wrong every time, until [`TestIdp::clear_faults`].
    pub fn always(&self, fault: Fault) {
        self.shared.lock().faults.add(fault, Times::Always);
    }

    /// Does everything right again.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// New signing keys under new kids; the old ones stay published if `keep_old`.
    ///
    /// # Errors
    /// The keys cannot be made.
    pub fn rotate_keys(&self, keep_old: bool) -> Result<(), IdpError> {
        self.shared.lock().keys.rotate(keep_old)
    }

    /// Signs any header and claims (as text) with the key of the current algorithm, such as for a logout token.
    /// `header` should carry [`TestIdp::kid`].
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn sign(&self, header: &Value, claims: &str) -> Result<String, IdpError> {
        let inner = self.shared.lock();
        let key = inner.keys.current(inner.settings.algorithm)?;
        mint::sign_raw(header, claims, &key)
    }

    /// The id of the key that signs now.
    ///
    /// # Errors
    /// There is no key of the algorithm that is set.
    pub fn kid(&self) -> Result<String, IdpError> {
        let inner = self.shared.lock();
        Ok(inner.keys.current(inner.settings.algorithm)?.kid)
    }

    /// The private key that signs now as PKCS#8 PEM, such as for another IdP's [`TokenFault::ForeignKey`].
    ///
    /// # Errors
    /// There is no key of the algorithm that is set.
    pub fn private_key_pem(&self) -> Result<String, IdpError> {
        let inner = self.shared.lock();
        let key = inner.keys.current(inner.settings.algorithm)?;
        Ok(key.private_pem().to_owned())
    }

    /// Ends every session at the IdP, so that the next sign-in shows the login page.
    pub fn end_sessions(&self) {
        self.shared.lock().sessions.clear();
    }

    /// Ends every access and refresh token.
    pub fn revoke_tokens(&self) {
        let mut inner = self.shared.lock();
        inner.access_tokens.clear();
        inner.refresh_tokens.clear();
    }

    /// How often each endpoint was called since the start.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// The parameters of the last call of the authorization endpoint that started a sign-in.
    pub fn last_authorize(&self) -> Option<Vec<(String, String)>> {
        self.shared.lock().recorded.authorize.last().cloned()
    }

    /// One parameter of [`TestIdp::last_authorize`].
    pub fn last_authorize_param(&self, name: &str) -> Option<String> {
        let params = self.last_authorize()?;
        params
            .into_iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// Every call of the authorization endpoint that started a sign-in.
    pub fn authorize_requests(&self) -> Vec<Vec<(String, String)>> {
        self.shared.lock().recorded.authorize.clone()
    }

    /// The last call of the token endpoint.
    pub fn last_token_request(&self) -> Option<TokenRequest> {
        self.shared.lock().recorded.token.last().cloned()
    }

    /// Every call of the token endpoint.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.shared.lock().recorded.token.clone()
    }

    /// `sid` of the session that the last code was given for.
    pub fn last_sid(&self) -> Option<String> {
        self.shared.lock().recorded.sids.last().cloned()
    }

    /// The parameters of the last RP-initiated logout.
    pub fn last_end_session(&self) -> Option<Vec<(String, String)>> {
        self.shared.lock().recorded.end_session.last().cloned()
    }
}

impl Drop for TestIdp {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
