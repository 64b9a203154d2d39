// npm `oidc-provider`, an OpenID-certified OP, as the second peer: ES256, PKCE required, refresh rotation, claims at userinfo only.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import { Provider } from 'oidc-provider';
import { freePort } from './processes.js';
import { forms } from './http.js';

const PEOPLE = {
  ann: { name: 'Ann Archer', given_name: 'Ann', family_name: 'Archer', groups: ['engineering', 'admins'] },
  bob: { name: 'Bob Baker', given_name: 'Bob', family_name: 'Baker', groups: ['engineering'] },
  carol: { name: 'Carol Cole', given_name: 'Carol', family_name: 'Cole', groups: [], email_verified: false },
  dave: { name: 'Dave Dunn', given_name: 'Dave', family_name: 'Dunn', groups: ['engineering'], enabled: false },
  erin: { name: 'Erin Eliot', given_name: 'Erin', family_name: 'Eliot', groups: [] },
  frank: { name: 'Frank Förster', given_name: 'Frank', family_name: 'Förster', groups: ['support'] },
  grace: { name: 'Grace Green', given_name: 'Grace', family_name: 'Green', groups: ['engineering'] },
};

export class OidcProvider {
  name = 'oidc-provider';
  clientId = 'usher';
  clientSecret = 'oidc-provider-client-secret';
  #origins = [];
  #sockets = new Set();

  constructor() {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.jwks = { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'op-1' }] };
    this.cookieKey = randomBytes(32).toString('hex');
    const client = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    /** What the client with private_key_jwt signs with. */
    this.clientKey = client.privateKey.export({ format: 'pem', type: 'pkcs8' });
    this.clientJwks = { keys: [{ ...client.publicKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256' }] };
    this.people = structuredClone(PEOPLE);
    for (const [login, person] of Object.entries(this.people)) {
      Object.assign(person, { sub: `op-${login}`, login, enabled: person.enabled ?? true, email_verified: person.email_verified ?? true });
    }
  }

  async start() {
    this.port ??= await freePort();
    this.origin = `http://127.0.0.1:${this.port}`;
    this.issuer = this.origin;
    await this.launch();
  }

  async launch() {
    this.provider = this.#provider();
    const answer = this.provider.callback();
    this.server = http.createServer((incoming, outgoing) => {
      if (incoming.url.startsWith('/interaction/')) {
        this.#interaction(incoming, outgoing).catch((error) => {
          outgoing.writeHead(500).end(error.message);
        });
      } else {
        answer(incoming, outgoing);
      }
    });
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    await new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(this.port, '127.0.0.1', resolve);
    });
  }

  async stop() {
    if (!this.server) return;
    const server = this.server;
    this.server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Registers usher at these origins. The clients are fixed at the start, so the server starts anew. */
  async register(origins, { idp = 'acme' } = {}) {
    this.#origins = origins.map((origin) => ({ origin, callback: `${origin}/_usher/oidc/${idp}/callback` }));
    await this.stop();
    await this.launch();
  }

  async setGroups(name, groups) {
    this.people[name].groups = groups;
  }

  async setEnabled(name, enabled) {
    this.people[name].enabled = enabled;
  }

  isSignInPage(page) {
    return page.url.startsWith(`${this.origin}/interaction/`) && forms(page).some((form) => form.id === 'sign-in');
  }

  async submitSignIn(person, page, name, password = `${name}-password`) {
    return person.submit(page, { login: name, password }, { id: 'sign-in' });
  }

  isSignOutQuestion(page) {
    return page.url.startsWith(this.origin) && forms(page).some((form) => form.id === 'op.logoutForm');
  }

  async answerSignOutQuestion(person, page) {
    return person.submit(page, { logout: 'yes' }, { id: 'op.logoutForm' });
  }

  #client(client_id, more) {
    return {
      client_id,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: this.#origins.map(({ callback }) => callback),
      post_logout_redirect_uris: this.#origins.flatMap(({ origin }) => POST_LOGOUT.map((path) => origin + path)),
      id_token_signed_response_alg: 'ES256',
      ...more,
    };
  }

  #provider() {
    const clients = this.#origins.length === 0 ? [] : [
      this.#client('usher', { client_secret: this.clientSecret, token_endpoint_auth_method: 'client_secret_basic' }),
      this.#client('usher-post', { client_secret: this.clientSecret, token_endpoint_auth_method: 'client_secret_post' }),
      this.#client('usher-key', { jwks: this.clientJwks, token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256' }),
      this.#client('usher-public', { token_endpoint_auth_method: 'none' }),
    ];
    const provider = new Provider(this.issuer, {
      clients,
      jwks: this.jwks,
      cookies: { keys: [this.cookieKey] },
      pkce: { required: () => true },
      rotateRefreshToken: true,
      issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
      scopes: ['openid', 'email', 'profile', 'offline_access'],
      claims: {
        openid: ['sub'],
        email: ['email', 'email_verified'],
        profile: ['name', 'given_name', 'family_name', 'preferred_username', 'groups'],
      },
      ttl: { AccessToken: 60, IdToken: 60, RefreshToken: 3600, Session: 3600, Interaction: 600, Grant: 3600, AuthorizationCode: 60 },
      interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
      features: {
        devInteractions: { enabled: false },
        rpInitiatedLogout: { enabled: true },
        userinfo: { enabled: true },
      },
      findAccount: async (_, sub) => {
        const person = Object.values(this.people).find((candidate) => candidate.sub === sub);
        if (!person?.enabled) return undefined;
        return { accountId: sub, claims: async () => claimsOf(person) };
      },
      // Consent is the company's: every client here is its own.
      loadExistingGrant: async (context) => {
        const { oidc } = context;
        const known = oidc.session.grantIdFor(oidc.client.clientId);
        if (known) {
          const grant = await provider.Grant.find(known);
          if (grant) return grant;
        }
        const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope('openid email profile offline_access');
        await grant.save();
        return grant;
      },
    });
    return provider;
  }

  async #interaction(incoming, outgoing) {
    const { uid, prompt } = await this.provider.interactionDetails(incoming, outgoing);
    if (prompt.name !== 'login') throw new Error(`unexpected prompt ${prompt.name}`);
    if (incoming.method !== 'POST') return page(outgoing, uid, '');
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const fields = new URLSearchParams(Buffer.concat(chunks).toString());
    const person = this.people[fields.get('login')];
    if (!person || fields.get('password') !== `${person.login}-password`) return page(outgoing, uid, 'Wrong name or password.');
    if (!person.enabled) return page(outgoing, uid, 'This account is disabled.');
    return this.provider.interactionFinished(incoming, outgoing, { login: { accountId: person.sub, remember: true } });
  }
}

/** Where usher may send the browser after the IdP's sign-out. */
const POST_LOGOUT = ['/', '/_usher/signed-out', '/_usher/sign-out', '/_usher/sign-out/done', '/_usher/signed_out'];

function claimsOf({ sub, login, name, given_name, family_name, groups, email_verified }) {
  return { sub, name, given_name, family_name, preferred_username: login, email: `${login}@acme.example`, email_verified, groups };
}

function page(outgoing, uid, message) {
  outgoing.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  outgoing.end(`<!doctype html><title>Sign in</title><p>${message}</p>
<form id="sign-in" method="post" action="/interaction/${uid}">
<input name="login"><input type="password" name="password"><button>Sign in</button></form>`);
}
