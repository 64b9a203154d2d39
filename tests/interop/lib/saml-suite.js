// What usher promises about a SAML IdP, in words that every peer's suite shares.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forms, request } from './http.js';
import { until } from './processes.js';
import { decode, readMetadata, readRedirect, textOf } from './saml.js';

export const ROLES = { engineering: 'editor', admins: 'admin' };

/** What the peers of these suites call the attributes of a person unless a test says else. */
export const ATTRIBUTES = { email: 'email', given_name: 'givenName', family_name: 'surname', groups: 'groups', username: 'username' };

/**
 * The config of one app with roles and a callback behind several IdPs, and of a second app below it at `/portal`.
 * Each of `idps` is `{ id, saml, attributes?, … }`; without `email_domains` it may assert `{id}.example`.
 */
export function samlConfig(app, idps, more = {}) {
  return {
    identity_providers: idps.map(({ id, ...idp }) => ({ id, label: id, email_domains: [`${id}.example`], attributes: ATTRIBUTES, ...idp })),
    apps: [
      {
        id: 'wiki',
        upstream: app.origin,
        access: [{ paths: ['/admin/**'], allow: { roles: ['admin'] } }, { allow: 'signed_in' }],
        provisioning: {
          mode: 'jit',
          roles: ['viewer', 'editor', 'admin'],
          default_role: 'viewer',
          group_roles: Object.fromEntries(idps.map(({ id }) => [id, ROLES])),
          callback: { url: `${app.origin}/internal/users`, secret: app.secret },
        },
      },
      { id: 'portal', path: '/portal', upstream: app.origin, access: [{ allow: 'signed_in' }] },
    ],
    ...more,
  };
}

/** Declares tests whose failures show what the usher of `usher()` logged during them. */
export function promises(usher) {
  return (title, body, options = {}) => test(title, options, async (t) => {
    const from = usher()?.child?.output.length ?? 0;
    try {
      await body(t);
    } catch (error) {
      const log = usher()?.child?.output.slice(from).slice(-4000) ?? '';
      throw new Error(`${error.message}\n--- usher's log meanwhile ---\n${log}`, { cause: error });
    }
  });
}

/** The SP that usher is for this IdP: its metadata document as an IdP's admin imports it, and what that says. */
export async function serviceOf(usher, idp) {
  const entityId = `${usher.origin}/_usher/saml/${idp}/metadata`;
  const answer = await request(entityId);
  assert.equal(answer.status, 200, `${entityId}: ${answer.status} ${answer.text.slice(0, 300)}`);
  return {
    idp,
    entityId,
    metadata: answer.text,
    contentType: answer.headers['content-type'],
    ...readMetadata(answer.text),
    acs: `${usher.origin}/_usher/saml/${idp}/acs`,
    slo: `${usher.origin}/_usher/saml/${idp}/slo`,
  };
}

/** The metadata document without a certificate for encryption, for peers that encrypt wherever there is one. */
export function withoutEncryption(metadata) {
  return metadata.replace(/<((?:[\w-]+:)?KeyDescriptor)\b([^>]*)>[\s\S]*?<\/\1>/g, (whole, name, attributes) => {
    if (/use="encryption"/.test(attributes)) return '';
    return /use=/.test(attributes) ? whole : whole.replace(`<${name}`, `<${name} use="signing"`);
  });
}

/**
 * Opens a page of usher that sends the browser to an IdP that has no server, by either binding. Gives the message with what the
 * IdP would receive: `url` of a redirect, or `action` and `fields` of a form.
 */
export async function sent(person, url, idp) {
  const page = await person.open(url, { from: 'same-origin', stopAt: (next) => next.startsWith(idp) });
  if (page.next) return { binding: 'redirect', url: page.next, ...readRedirect(page.next) };
  const form = messageForm(page);
  assert.ok(form?.action.startsWith(idp), `a message to ${idp}, not ${page.status} ${page.url}\n${plain(page)}`);
  return posted(form);
}

function posted({ action, fields }) {
  const name = 'SAMLRequest' in fields ? 'SAMLRequest' : 'SAMLResponse';
  return { binding: 'post', name, action, fields, relayState: fields.RelayState, xml: decode(fields[name]) };
}

/** Brings a logout message of such an IdP to usher by the browser and gives what usher sends back: as `sent`, or its page. */
export async function deliver(person, { url, action, fields }, idp) {
  const stopAt = (next) => next.startsWith(idp);
  const page = url
    ? await person.open(url, { from: 'cross-site', stopAt })
    : await person.open(action, { method: 'POST', form: fields, from: 'cross-site', stopAt });
  if (page.next) return { binding: 'redirect', url: page.next, ...readRedirect(page.next) };
  const form = messageForm(page);
  return form ? posted(form) : { page };
}

/** The form of a page that carries a SAML message to another site by itself. An IdP's login form may hold the request too. */
export function messageForm(page) {
  return forms(page).find(({ fields }) => !('password' in fields) && ('SAMLRequest' in fields || 'SAMLResponse' in fields));
}

/** Presses the button of every page that only carries a SAML message, and follows a same-site hop. */
export async function relay(person, page) {
  let now = page;
  for (let hop = 0; hop < 8; hop += 1) {
    const form = messageForm(now);
    if (form) {
      now = await person.submit(now, {}, { action: form.action });
    } else if (/<meta[^>]+http-equiv="?refresh/i.test(now.text) && now.status === 200) {
      const next = /url=([^"'>]+)/i.exec(now.text)[1].replaceAll('&amp;', '&');
      now = await person.open(new URL(next, now.url).href, { from: 'same-origin' });
    } else {
      return now;
    }
  }
  throw new Error(`too many pages that post themselves:\n${person.trail.slice(-12).join('\n')}`);
}

/** Starts a sign-in at this IdP; gives the page where a person without a session there types the password. */
export async function begin(usher, person, idp, path = '/') {
  return relay(person, await person.open(`${usher.origin}/_usher/sign-in/${idp}?return_to=${encodeURIComponent(path)}`));
}

/** Signs in until the IdP's page that carries the response to usher, and gives that page: nothing has reached usher yet. */
export async function responsePage(peer, usher, person, { idp, name, path }) {
  const page = await begin(usher, person, idp, path);
  assert.ok(peer.isSignInPage(page), `the IdP's sign-in page, not ${page.status} ${page.url}\n${plain(page)}\n${person.trail.slice(-6).join('\n')}`);
  const answer = await peer.submitSignIn(person, page, name);
  assert.ok(messageForm(answer), `the IdP's response, not ${answer.status} ${answer.url}\n${plain(answer)}`);
  return answer;
}

/** A whole sign-in of a person without a session at the IdP; gives the page where it ends. */
export async function signIn(peer, usher, person, how) {
  return relay(person, await responsePage(peer, usher, person, how));
}

/** Signs in and gives what the app saw then. */
export async function arrive(peer, usher, person, { path = '/pages/start?chapter=2', ...how }) {
  const page = await signIn(peer, usher, person, { ...how, path });
  return arrived(usher, page, path);
}

/** Asserts that this page is the app's and gives the headers that the app received. */
export function arrived(usher, page, path) {
  assert.equal(page.status, 200, `${page.status} ${page.url}\n${plain(page)}`);
  assert.equal(page.url, usher.origin + path);
  return page.json.headers;
}

/** Asserts a page of usher's own with this status, for people, and gives its text. */
export function refused(usher, page, status) {
  assert.ok(page.url.startsWith(usher.origin), `a page of usher, not ${page.url}\n${plain(page)}`);
  assert.equal(page.status, status, `${page.status} ${page.url}\n${plain(page)}`);
  assert.match(page.headers['content-type'], /text\/html/);
  assert.match(page.headers['cache-control'], /no-store/);
  return plain(page);
}

/** Asserts a refused sign-in: its page is for people, and the log names the check that failed. */
export async function refusedAt(usher, page, check) {
  const words = refused(usher, page, 403);
  const id = /Request id ([0-9a-f]{32})/.exec(words)?.[1];
  assert.ok(id, words);
  const line = await until('the refusal in the log', () => usher.child.output.split('\n').find((one) => one.includes('"event":"refused"') && one.includes(id)), { within: 2000 });
  assert.equal(JSON.parse(line).check, check, line);
  return words;
}

/** A page's words. */
export function plain(page) {
  return page.text.replace(/<(style|script|svg)[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim().slice(0, 800);
}

export function roles(headers) {
  return (headers['x-forwarded-roles'] ?? '').split(',').filter(Boolean);
}

export async function isSignedIn(usher, person) {
  const { status } = await person.fetch(`${usher.origin}/_usher/me`, { headers: { accept: 'application/json' } });
  assert.ok([200, 401].includes(status), `/_usher/me answers ${status}`);
  return status === 200;
}

/** The XML of the message that this page carries. */
export function messageOf(page) {
  const { fields } = messageForm(page);
  return decode(fields.SAMLResponse ?? fields.SAMLRequest);
}

/** Posts a response as the IdP's page would, with this person's cookies. */
export async function post(person, acs, fields) {
  const page = await person.open(acs, { method: 'POST', form: fields, from: 'cross-site', headers: { origin: 'http://127.0.0.1' } });
  return relay(person, page);
}

/** The first sign-in of Ann with two groups: one account, told once, and the app reads who it is. */
export async function firstSignIn(peer, usher, app, { idp, name, email, subject, person, path = '/pages/start?chapter=2' }) {
  const headers = await arrive(peer, usher, person, { idp, name, path });
  assertAnn(headers, { name, email });
  assertCreated(app, headers, { idp, email, issuer: peer.entityId, subject });
  return headers;
}

export function assertAnn(headers, { name, email }) {
  assert.equal(headers['x-forwarded-email'], email);
  assert.equal(headers['x-forwarded-preferred-username'], name);
  assert.equal(headers['x-forwarded-name'], 'Ann Archer');
  assert.deepEqual(headers['x-forwarded-groups'].split(',').sort(), ['admins', 'engineering']);
  assert.deepEqual(roles(headers), ['editor', 'admin']);
  assert.match(headers['x-forwarded-user'], /^usr_/);
  assert.ok(!headers.cookie?.includes('usher'), 'a cookie of usher reached the app');
}

export function assertCreated(app, headers, { idp, email, issuer, subject }) {
  const created = app.eventsOf(email, 'user.created');
  assert.equal(created.length, 1, `${created.length} user.created for ${email}`);
  const [{ data }] = created;
  assert.equal(data.user.id, headers['x-forwarded-user']);
  assert.equal(headers['x-forwarded-account'], app.accounts.get(data.user.id));
  assert.deepEqual(data.user.roles, ['editor', 'admin']);
  assert.equal(data.user.active, true);
  assert.equal(data.identity.idp, idp);
  assert.equal(data.identity.protocol, 'saml');
  assert.equal(data.identity.issuer, issuer);
  assert.ok(data.identity.subject);
  if (subject !== undefined) assert.equal(data.identity.subject, subject);
}

/** What usher's metadata document must say whatever the IdP: where to post, how to sign out, which certificates. */
export function assertServiceMetadata(service) {
  assert.match(service.contentType, /application\/samlmetadata\+xml|application\/xml|text\/xml/);
  const { entityId, acs, slo, signing, encryption } = readMetadata(service.metadata);
  assert.equal(entityId, service.entityId);
  assert.deepEqual(acs.map(({ location }) => location), [service.acs]);
  assert.ok(slo.every(({ location }) => location === service.slo), JSON.stringify(slo));
  assert.ok(acs.every(({ binding, index }) => binding.endsWith('HTTP-POST') && index !== undefined), JSON.stringify(acs));
  assert.deepEqual(slo.map(({ binding }) => binding.replace(/.*:/, '')).sort(), ['HTTP-POST', 'HTTP-Redirect']);
  assert.ok(signing.length > 0 && encryption.length > 0, 'a certificate for each use');
  assert.equal(textOf(service.metadata, 'X509Certificate')?.includes('BEGIN'), false);
}
