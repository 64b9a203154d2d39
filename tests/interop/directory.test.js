// The directory with Keycloak and Chromium: who is invited, who has which role, and how access ends.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { launchBrowser, profile } from './lib/browser.js';
import { Person, request } from './lib/http.js';
import { Keycloak } from './lib/keycloak.js';
import { freePort, sleep, until } from './lib/processes.js';
import { openWebSocket } from './lib/streams.js';
import { config, signIn } from './lib/suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

const ADMIN_TOKEN = 'interop-admin-token-0123456789-abcdef';
const SCIM_TOKEN = 'interop-scim-token-0123456789-abcdefg';
/** From the call that ends access to the last byte of a WebSocket, on a busy machine; `bench/run revoke` measures it. */
const AT_ONCE = 3000;

/** RFC 6238 with the usual choices: SHA-1, six digits, 30 seconds. */
function totp(secret, at = Date.now()) {
  const bits = [...secret.replaceAll(/[\s=]/g, '')].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const hash = createHmac('sha1', key).update(counter).digest();
  const offset = hash[19] & 15;
  return String((hash.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

describe('the directory with Keycloak', { timeout: 800_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  const peer = new Keycloak();
  let main;
  let strict;
  let browser;
  let adminPort;
  let admin;

  /** One call of the admin API. */
  async function api(method, at, json) {
    const answer = await request(`http://127.0.0.1:${adminPort}/api/v1${at}`, { method, json, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    assert.ok(answer.status < 300, `${method} ${at}: ${answer.status} ${answer.text}`);
    return answer.text ? answer.json : undefined;
  }

  async function userByEmail(email) {
    const { items } = await api('GET', `/users?q=${encodeURIComponent(email)}`);
    return items.find((user) => user.email === email);
  }

  async function seen(usher, person) {
    return person.fetch(`${usher.origin}/echo`, { headers: { accept: 'application/json' } });
  }

  async function rolesNow(usher, person) {
    const answer = await seen(usher, person);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    return answer.json.headers['x-forwarded-roles'] ?? '';
  }

  /** Signs in at Keycloak's own form, in the browser. */
  async function throughKeycloak(page, name) {
    await page.fill('#username', name);
    await page.fill('#password', `${name}-password`);
    await page.click('#kc-login');
  }

  /** Through the IdP, past the page that offers a password too. */
  function arrive(usher, person, name) {
    return signIn(peer, usher, person, name, usher === main ? '/_usher/sign-in/acme?return_to=/' : '/');
  }

  /** An open WebSocket of somebody who just signed in. */
  async function connected(usher, name) {
    const person = new Person();
    const page = await arrive(usher, person, name);
    assert.equal(page.status, 200, page.text.slice(0, 500));
    const socket = await openWebSocket(person, `${usher.origin}/ws`);
    assert.equal(socket.status, 101);
    assert.equal(await socket.echo('hello'), 'hello');
    return { person, socket };
  }

  async function closedAfter(socket, began, within) {
    const closed = await Promise.race([socket.closed, sleep(within + 2000, Infinity)]);
    assert.ok(closed - began <= within, `the WebSocket ended after ${closed - began} ms`);
    return closed - began;
  }

  before(async () => {
    await Promise.all([app.start(), peer.start()]);
    adminPort = await freePort();
    const parts = config(peer, app);
    const [acme] = parts.identity_providers;
    acme.scim = { token: SCIM_TOKEN };
    const trial = { ...acme, id: 'trial', label: 'Trial', enabled: false, email_domains: [], scim: undefined };
    main = await new Usher({
      ...parts,
      identity_providers: [acme, trial],
      admin: {
        listen: `127.0.0.1:${adminPort}`,
        public_url: `http://localhost:${adminPort}`,
        token: ADMIN_TOKEN,
        allow: { groups: { acme: ['admins'] } },
      },
      local_accounts: { enabled: true },
    }, { name: 'directory-main' }).reserve();
    const bare = config(peer, app, { refresh_every: '2s' });
    delete bare.apps[0].provisioning.default_role;
    strict = await new Usher(bare, { name: 'directory-strict' }).reserve();
    admin = `http://localhost:${adminPort}`;
    await peer.register([main.origin, admin, strict.origin]);
    const [client] = await peer.admin('GET', '/clients?clientId=usher');
    client.redirectUris.push(`${main.origin}/_usher/oidc/trial/callback`, `${admin}/_usher/oidc/trial/callback`);
    client.attributes['backchannel.logout.url'] = `${strict.origin}/_usher/oidc/acme/backchannel-logout`;
    client.attributes['backchannel.logout.session.required'] = 'true';
    await peer.admin('PUT', `/clients/${client.id}`, client);
    await Promise.all([main.start(), strict.start()]);
    browser = await launchBrowser();
  }, { timeout: 300_000 });

  after(async () => {
    await browser?.close();
    const ended = await Promise.allSettled([main, strict].filter(Boolean).map((one) => one.stop()));
    await Promise.allSettled([peer.stop(), app.stop()]);
    const failed = ended.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;
    assert.deepEqual(app.problems, []);
  });

  test('whoever loses the mapped group at the IdP is out within the poll interval, open connections included, and the app is told', async () => {
    const { person, socket } = await connected(strict, 'bob');
    await sleep(3000);
    assert.equal(await socket.echo('still'), 'still', 'renewed, and still there');
    const { 'x-forwarded-user': user } = (await seen(strict, person)).json.headers;
    await peer.setGroups('bob', []);
    const took = await closedAfter(socket, Date.now(), 2000 + 2000);
    console.log(`# group taken away: the WebSocket ended after ${took} ms, with renewals every 2 s`);
    const refused = await seen(strict, person);
    assert.ok([401, 403].includes(refused.status), `${refused.status}`);
    await until('the app is told', () => app.events.some(({ type, data }) => type === 'user.deactivated' && data.user.id === user && data.user.active === false), { within: 10_000 });
    await peer.setGroups('bob', ['engineering']);
    const back = new Person();
    const page = await arrive(strict, back, 'bob');
    assert.equal(page.status, 200, page.text.slice(0, 500));
    assert.equal(await rolesNow(strict, back), 'editor');
    await until('and told again', () => app.events.some(({ type, data }) => type === 'user.reactivated' && data.user.id === user), { within: 10_000 });
  });

  test('a logout at Keycloak ends the session here by its back channel', async () => {
    const { person, socket } = await connected(strict, 'grace');
    const { id } = await peer.user('grace');
    const began = Date.now();
    await peer.admin('POST', `/users/${id}/logout`);
    const took = await closedAfter(socket, began, 2 * AT_ONCE);
    console.log(`# back-channel logout: the WebSocket ended ${took} ms after Keycloak was asked`);
    assert.equal((await seen(strict, person)).status, 401);
  });

  test('SCIM active:false and an admin each end a WebSocket at once', async () => {
    const scim = (method, at, json) => request(`${main.origin}/_usher/scim/acme/v2${at}`, { method, json, headers: { authorization: `Bearer ${SCIM_TOKEN}` } });
    const { id: sub } = await peer.user('grace');
    const made = await scim('POST', '/Users', { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName: 'grace@acme.example', externalId: sub, emails: [{ value: 'grace@acme.example', primary: true }], active: true });
    assert.equal(made.status, 201, made.text);
    const { person, socket } = await connected(main, 'grace');
    let began = Date.now();
    const patched = await scim('PATCH', `/Users/${made.json.id}`, { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [{ op: 'Replace', path: 'active', value: 'False' }] });
    assert.equal(patched.status, 200, patched.text);
    await closedAfter(socket, began, AT_ONCE);
    assert.equal((await seen(main, person)).status, 401);
    const refused = await arrive(main, new Person(), 'grace');
    assert.equal(refused.status, 403);
    await scim('PATCH', `/Users/${made.json.id}`, { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [{ op: 'replace', value: { active: true } }] });

    const again = await connected(main, 'grace');
    const user = await userByEmail('grace@acme.example');
    began = Date.now();
    await api('DELETE', `/users/${user.id}/sessions`);
    await closedAfter(again.socket, began, AT_ONCE);
    assert.equal((await seen(main, again.person)).status, 401);
  });

  test('who is invited with a role has it after the first sign-in through the IdP', async () => {
    const { invitation, link } = await api('POST', '/invitations', { email: 'frank@acme.example', apps: [{ app: 'wiki', roles: ['editor'] }] });
    assert.match(link, new RegExp(`^${main.origin}/_usher/invitation/`));
    const page = await new Person().open(link);
    assert.equal(page.status, 200);
    assert.match(page.text, /frank@acme\.example/);
    assert.doesNotMatch(page.text, /type="password"/);
    const person = new Person();
    assert.equal((await arrive(main, person, 'frank')).status, 200);
    assert.equal(await rolesNow(main, person), 'editor');
    const { items } = await api('GET', '/invitations');
    assert.equal(items.find(({ id }) => id === invitation.id).state, 'accepted');
    assert.notEqual((await new Person().open(link)).status, 200, 'a link works once');
  });

  test('an admin sees everybody, gives a role that counts at once, and cannot edit what a group gives', async () => {
    const erin = new Person();
    assert.equal((await arrive(main, erin, 'erin')).status, 200);
    assert.equal(await rolesNow(main, erin), 'viewer', 'the default role');

    const context = await profile(browser, { javaScriptEnabled: true });
    const page = await context.newPage();
    await page.goto(`${admin}/people`);
    if (await page.locator('#username').count() === 0) await page.getByRole('link', { name: /Acme/ }).click();
    await throughKeycloak(page, 'ann');
    await page.waitForURL(`${admin}/people`);
    const list = await page.locator('main').innerText();
    for (const email of ['ann@acme.example', 'erin@acme.example', 'frank@acme.example']) assert.match(list, new RegExp(email));

    await page.getByRole('link', { name: /Erin/ }).click();
    await page.locator('#roles').getByLabel('editor').check();
    await page.locator('#roles').getByRole('button', { name: /Save/ }).click();
    await page.waitForLoadState();
    assert.equal(await rolesNow(main, erin), 'editor', 'without a new sign-in');

    await page.goto(`${admin}/people`);
    await page.getByRole('link', { name: /Ann/ }).click();
    const roles = page.locator('#roles');
    assert.match(await roles.innerText(), /Managed by the identity provider/);
    assert.equal(await roles.locator('input[type=checkbox]').count(), 0);
    const ann = await userByEmail('ann@acme.example');
    const forced = await request(`http://127.0.0.1:${adminPort}/api/v1/users/${ann.id}/apps/wiki/roles`, { method: 'PUT', json: { roles: ['viewer'] }, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    assert.equal(forced.status, 409, forced.text);
    assert.deepEqual(context.problems, []);
    await context.close();
  });

  test('an identity provider is tried before it is switched on', async () => {
    const off = await new Person().open(`${main.origin}/_usher/sign-in/trial?return_to=/`);
    assert.equal(off.status, 404, 'it is switched off');
    const context = await profile(browser);
    const page = await context.newPage();
    await page.goto(`${admin}/identity-providers/trial`);
    if (await page.locator('#username').count() === 0) await page.getByRole('link', { name: /Acme/ }).click();
    await throughKeycloak(page, 'ann');
    await page.waitForURL(`${admin}/identity-providers/trial`);
    const before = await api('GET', '/users');
    await page.getByRole('button', { name: 'Test sign-in' }).click();
    // Keycloak knows who it is: it asks again only where it must.
    if (await page.locator('#kc-login').count() > 0) {
      if (await page.locator('#username').isVisible().catch(() => false)) await page.fill('#username', 'ann');
      await page.fill('#password', 'ann-password');
      await page.click('#kc-login');
    }
    await page.waitForURL(`${admin}/identity-providers/trial/test`);
    const result = await page.locator('main').innerText();
    assert.match(result, /Every check passed/);
    assert.match(result, /ann@acme\.example/);
    assert.match(result, /engineering/);
    const afterwards = await api('GET', '/users');
    assert.equal(afterwards.total, before.total, 'a test makes nobody');

    await page.goto(`${admin}/identity-providers/trial`);
    await page.getByRole('button', { name: 'Switch on' }).click();
    await page.waitForLoadState();
    const on = await new Person().open(`${main.origin}/_usher/sign-in/trial?return_to=/`);
    assert.ok(peer.isSignInPage(on), `${on.status} ${on.url}`);
    assert.deepEqual(context.problems, []);
    await context.close();
  });

  test('an invited person with a password may use both; the second factor is asked for there alone, and nobody else has a password', async () => {
    const { link } = await api('POST', '/invitations', { email: 'henry@acme.example', name: 'Henry Hall', apps: [{ app: 'wiki', roles: ['editor'] }], password: true });
    await peer.admin('POST', '/users', {
      username: 'henry', email: 'henry@acme.example', emailVerified: true, enabled: true, firstName: 'Henry', lastName: 'Hall',
      credentials: [{ type: 'password', value: 'henry-password', temporary: false }],
    });
    const context = await profile(browser);
    const page = await context.newPage();
    await page.goto(link);
    const secret = (await page.locator('details code').textContent()).trim();
    const password = 'four plain words here';
    await page.fill('#password', password);
    await page.fill('#again', password);
    await page.fill('#totp', totp(secret));
    await page.getByRole('button', { name: /Set up/ }).click();
    await page.waitForURL(`${main.origin}/**`);
    const me = async (at) => (await at.request.get(`${main.origin}/_usher/me`)).json();
    const { user } = await me(context);
    assert.equal(user.email, 'henry@acme.example');
    await context.close();

    const second = await profile(browser);
    const form = await second.newPage();
    const fill = async (email, code) => {
      await form.goto(`${main.origin}/_usher/sign-in/local?return_to=/`);
      await form.fill('#user', email);
      await form.fill('#password', password);
      await form.fill('#totp', code);
      await form.getByRole('button', { name: 'Sign in' }).click();
      await form.waitForLoadState();
    };
    await fill('henry@acme.example', '000000');
    assert.match(await form.locator('main').innerText(), /did not work/);
    await fill('frank@acme.example', totp(secret));
    assert.match(await form.locator('main').innerText(), /did not work/, 'an account of single sign-on has no password');
    // Each code works once: the next one is not far.
    await fill('henry@acme.example', totp(secret, Date.now() + 30_000));
    const signedIn = await me(second);
    assert.equal(signedIn.user?.id, user.id, JSON.stringify(signedIn));
    assert.deepEqual(signedIn.roles, ['editor']);
    await second.close();

    const sso = new Person();
    assert.equal((await arrive(main, sso, 'henry')).status, 200, 'no second factor after single sign-on');
    const answer = await sso.fetch(`${main.origin}/_usher/me`);
    assert.equal(answer.json.user.id, user.id, 'the same user');
    assert.deepEqual(answer.json.roles, ['editor']);
  });
});
