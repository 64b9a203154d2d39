// usher and Keycloak over SAML: what may be signed and encrypted how, single logout both ways, key rollover, and a real browser.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe } from 'node:test';
import { App } from './lib/app.js';
import { launchBrowser, profile } from './lib/browser.js';
import { forms, Person, request } from './lib/http.js';
import { KeycloakSaml, X500_MAPPERS } from './lib/keycloak-saml.js';
import { work } from './lib/places.js';
import { sleep, until } from './lib/processes.js';
import { attributeOf, FORMAT, oneLine, pem, readRedirect, tagOf, tamper, textOf, verifiesRedirect } from './lib/saml.js';
import {
  arrive, arrived, assertAnn, assertServiceMetadata, begin, firstSignIn, isSignedIn, messageForm, messageOf, plain, post, promises, refused,
  refusedAt, relay, responsePage, roles, samlConfig, serviceOf, signIn,
} from './lib/saml-suite.js';
import { openEvents, openWebSocket } from './lib/streams.js';
import { Usher, webhookSecret } from './lib/usher.js';

const SIGNED = { 'saml.assertion.signature': 'true', 'saml.server.signature': 'true' };
const ASSERTION_ONLY = { 'saml.assertion.signature': 'true', 'saml.server.signature': 'false' };
const RESPONSE_ONLY = { 'saml.assertion.signature': 'false', 'saml.server.signature': 'true' };
const CLEAR = { 'saml.encrypt': 'false' };
const REDIRECT = { 'saml.force.post.binding': 'false' };
const XMLENC = 'http://www.w3.org/2001/04/xmlenc#';
const XMLENC11 = 'http://www.w3.org/2009/xmlenc11#';
const SHA1 = 'http://www.w3.org/2000/09/xmldsig#sha1';
const CBC = {
  'saml.encryption.algorithm': `${XMLENC}aes256-cbc`,
  'saml.encryption.keyAlgorithm': `${XMLENC}rsa-oaep-mgf1p`,
  'saml.encryption.digestMethod': SHA1,
};

/**
 * usher's IdP ids: `saml` and `attributes` are keys of usher's config, `client` attributes of the Keycloak client.
 * `from` says where usher learns of the IdP: its descriptor's URL unless named.
 */
const IDPS = {
  'kc-assertion': { saml: { name_id_format: 'persistent' }, client: { ...ASSERTION_ONLY, ...CLEAR } },
  'kc-response': { saml: { name_id_format: 'email' }, client: { ...RESPONSE_ONLY, ...CLEAR } },
  'kc-both': { saml: { binding: 'post' }, client: { ...SIGNED, ...CLEAR, saml_name_id_format: 'username' } },
  'kc-encrypted': { saml: { name_id_format: 'persistent' }, client: { ...ASSERTION_ONLY } },
  'kc-encrypted-cbc': { saml: { name_id_format: 'persistent' }, client: { ...SIGNED, ...CBC } },
  'kc-sha512': { saml: { name_id_format: 'persistent' }, client: { ...SIGNED, ...CLEAR, 'saml.signature.algorithm': 'RSA_SHA512' } },
  'kc-transient': { saml: { name_id_format: 'transient', subject: 'username' }, client: { ...ASSERTION_ONLY, ...CLEAR } },
  'kc-preset': { saml: {}, attributes: { preset: 'keycloak' }, client: { ...SIGNED, ...CLEAR, ...REDIRECT }, mappers: X500_MAPPERS },
  'kc-portal': { saml: { idp_initiated: true }, client: { ...ASSERTION_ONLY, ...CLEAR } },
  'kc-file': { from: 'file', saml: {}, client: { ...ASSERTION_ONLY, ...CLEAR } },
  'kc-pasted': { from: 'pasted', saml: {}, client: { ...SIGNED, ...CLEAR } },
  // By its descriptor, Keycloak wants requests signed whatever the client says: unsigned ones go out only where that is not known.
  'kc-unsigned': { from: 'pasted', saml: { sign_requests: false }, client: { ...ASSERTION_ONLY, ...CLEAR, 'saml.client.signature': 'false' } },
  'kc-backchannel': { saml: {}, client: { ...SIGNED, ...CLEAR }, frontchannelLogout: false },
};
const IDS = Object.keys(IDPS);

/** The same people by OIDC and by SAML. */
const LINKED = { oidc: 'kc-oidc', saml: 'kc-linked', domain: 'staff.example' };

describe('usher and Keycloak over SAML', { timeout: 800_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  const peer = new KeycloakSaml();
  let usher;
  let services;
  let browser;
  const test = promises(() => usher);

  /** Ann as each IdP knows her: a user of her own for each, since an e-mail belongs to one user. */
  const ann = (idp) => ({ idp, name: `ann-${idp}`, email: `ann@${idp}.example` });

  async function sourceOf(from) {
    if (from === 'file') {
      const file = path.join(work, 'runs', `keycloak-descriptor-${peer.port}.xml`);
      await fs.writeFile(file, (await request(peer.metadataUrl)).text);
      return { metadata_file: file };
    }
    if (from === 'pasted') {
      const { signing } = await peer.descriptor();
      const endpoint = `${peer.issuer}/protocol/saml`;
      return { sso_url: endpoint, slo_url: endpoint, entity_id: peer.entityId, certificates: signing };
    }
    return { metadata_url: peer.metadataUrl };
  }

  function linked() {
    return [
      {
        id: LINKED.oidc,
        email_domains: [LINKED.domain],
        oidc: { issuer: peer.issuer, client_id: peer.clientId, client_secret: peer.clientSecret, scopes: ['openid', 'email', 'profile'] },
        attributes: { email: 'email', name: 'name', groups: 'groups', username: 'preferred_username' },
      },
      { id: LINKED.saml, same_users_as: LINKED.oidc, email_domains: [LINKED.domain], saml: { metadata_url: peer.metadataUrl, name_id_format: 'persistent' } },
    ];
  }

  before(async () => {
    await Promise.all([app.start(), peer.start(), fs.mkdir(path.join(work, 'runs'), { recursive: true })]);
    const idps = await Promise.all(Object.entries(IDPS).map(async ([id, { from, saml, attributes }]) => (
      { id, saml: { ...await sourceOf(from), ...saml }, ...(attributes ? { attributes } : {}) })));
    usher = await new Usher(samlConfig(app, [...idps, ...linked()]), { name: 'saml-keycloak' }).start();
    services = Object.fromEntries(await Promise.all([...IDS, LINKED.saml].map(async (id) => [id, await serviceOf(usher, id)])));
    await peer.register([usher.origin], { idp: LINKED.oidc });
    await peer.registerSp(services[LINKED.saml], { attributes: { ...SIGNED, ...CLEAR } });
    await peer.addPerson('lee-kc', { email: `lee@${LINKED.domain}`, firstName: 'Lee', lastName: 'Lane', groups: ['engineering'] });
    for (const [id, { client, mappers, frontchannelLogout }] of Object.entries(IDPS)) {
      await peer.registerSp(services[id], { attributes: client, mappers, frontchannelLogout });
      const { name, email } = ann(id);
      await peer.addPerson(name, { email, firstName: 'Ann', lastName: 'Archer', groups: ['engineering', 'admins'] });
    }
    await peer.addPerson('erin-kc', { email: 'erin@kc-assertion.example', firstName: 'Erin', lastName: 'Eliot' });
    await peer.addPerson('bob-kc', { email: 'bob@kc-assertion.example', firstName: 'Bob', lastName: 'Baker', groups: ['engineering'] });
    await peer.addPerson('frank-kc', { email: 'frank@kc-assertion.example', firstName: 'Frank', lastName: 'Förster' });
    await peer.addPerson('dave-kc', { email: 'dave@kc-assertion.example', firstName: 'Dave', lastName: 'Dunn' });
    await peer.setEnabled('dave-kc', false);
  }, { timeout: 300_000 });

  after(async () => {
    await browser?.close();
    const [ended] = await Promise.allSettled([usher?.stop(), peer.stop(), app.stop()]);
    if (ended.status === 'rejected') throw ended.reason;
    assert.deepEqual(app.problems, []);
  });

  for (const id of IDS) {
    test(`${id}: a first sign-in makes the account, and the app reads who it is`, async () => {
      const person = new Person();
      const headers = await firstSignIn(peer, usher, app, { ...ann(id), person });
      const again = await arrive(peer, usher, new Person(), ann(id));
      assert.equal(again['x-forwarded-user'], headers['x-forwarded-user'], 'another user at the second sign-in');
    });
  }

  test('the metadata of each IdP id says where to post, how to sign out and which certificates', async () => {
    for (const id of IDS) {
      assertServiceMetadata(services[id]);
      assert.equal(services[id].authnRequestsSigned, String(id !== 'kc-unsigned'), id);
    }
  });

  test('the AuthnRequest is signed, names this SP and asks for the format of the config', async () => {
    for (const [id, format] of [['kc-assertion', FORMAT.persistent], ['kc-response', FORMAT.email], ['kc-preset', undefined]]) {
      const { next } = await new Person().open(`${usher.origin}/_usher/sign-in/${id}?return_to=/`, { stopAt: (url) => url.startsWith(peer.origin) });
      assert.ok(verifiesRedirect(next, services[id].signing[0]), `${id}: no good signature on ${next}`);
      const { xml, relayState } = readRedirect(next);
      const root = tagOf(xml, 'AuthnRequest');
      assert.match(attributeOf(root, 'ID'), /^_[0-9a-f]{32}$/);
      assert.match(relayState, /^[\w-]{43}$/);
      assert.equal(attributeOf(root, 'Destination'), next.slice(0, next.indexOf('?')));
      assert.equal(attributeOf(root, 'AssertionConsumerServiceURL') ?? services[id].acs, services[id].acs);
      assert.equal(textOf(xml, 'Issuer'), services[id].entityId);
      assert.equal(attributeOf(tagOf(xml, 'NameIDPolicy'), 'Format'), format);
    }
    const { next } = await new Person().open(`${usher.origin}/_usher/sign-in/kc-unsigned?return_to=/`, { stopAt: (url) => url.startsWith(peer.origin) });
    assert.equal(readRedirect(next).signature, undefined);
  });

  test('Keycloak checks the signature of our requests: with another certificate it refuses them', async () => {
    const wrong = oneLine((await peer.descriptor()).signing[0]);
    for (const id of ['kc-assertion', 'kc-both']) {
      await peer.changed(services[id].entityId, { 'saml.signing.certificate': wrong }, async () => {
        const page = await begin(usher, new Person(), id);
        assert.equal(page.status, 400, `${id}: ${page.status} ${plain(page)}`);
        assert.ok(page.url.startsWith(peer.origin), page.url);
      });
    }
  });

  test('a person without a group has the default role, and one with a name outside ASCII keeps it', async () => {
    const erin = await arrive(peer, usher, new Person(), { idp: 'kc-assertion', name: 'erin-kc' });
    assert.deepEqual(roles(erin), ['viewer']);
    const frank = await arrive(peer, usher, new Person(), { idp: 'kc-assertion', name: 'frank-kc' });
    assert.equal(decodeURIComponent(frank['x-forwarded-name'].replace(/^UTF-8''/, '')), 'Frank Förster');
  });

  test('a changed group is a changed role at the next sign-in', async () => {
    const first = await arrive(peer, usher, new Person(), { idp: 'kc-assertion', name: 'bob-kc' });
    assert.deepEqual(roles(first), ['editor']);
    await peer.setGroups('bob-kc', ['admins']);
    const second = await arrive(peer, usher, new Person(), { idp: 'kc-assertion', name: 'bob-kc' });
    assert.deepEqual(roles(second), ['admin']);
    assert.equal(second['x-forwarded-user'], first['x-forwarded-user']);
    assert.deepEqual(app.eventsOf('bob@kc-assertion.example').map(({ type }) => type), ['user.created', 'user.updated']);
  });

  test('a disabled user does not come past the IdP', async () => {
    const person = new Person();
    const page = await peer.submitSignIn(person, await begin(usher, person, 'kc-assertion'), 'dave-kc');
    assert.ok(page.url.startsWith(peer.origin) && !messageForm(page), `still at the IdP: ${page.url}`);
    assert.equal(await isSignedIn(usher, person), false);
    assert.equal(app.eventsOf('dave@kc-assertion.example').length, 0);
  });

  test('three tabs that start at once all arrive where they began', async () => {
    const person = new Person();
    const pages = [];
    for (const tab of [1, 2, 3]) pages.push((await person.open(`${usher.origin}/_usher/sign-in/kc-assertion?return_to=/tab/${tab}`, { stopAt: (url) => url.startsWith(peer.origin) })).next);
    const first = await peer.submitSignIn(person, await person.open(pages[0]), ann('kc-assertion').name);
    arrived(usher, await relay(person, first), '/tab/1');
    for (const tab of [2, 3]) arrived(usher, await relay(person, await person.open(pages[tab - 1])), `/tab/${tab}`);
  });

  test('a person who comes by SAML, by OIDC and by SAML again has one account', async () => {
    const users = [];
    for (const id of [LINKED.saml, LINKED.oidc, LINKED.saml]) {
      const person = new Person();
      const page = await peer.submitSignIn(person, await begin(usher, person, id, '/pages/1'), 'lee-kc');
      const headers = arrived(usher, await relay(person, page), '/pages/1');
      assert.deepEqual(roles(headers), ['editor'], id);
      users.push(headers['x-forwarded-user']);
    }
    assert.equal(new Set(users).size, 1, users.join());
    assert.equal(app.eventsOf(`lee@${LINKED.domain}`, 'user.created').length, 1);
  });

  test('the e-mail address finds the IdP, whichever protocol it speaks', async () => {
    for (const [email, client] of [['ann@kc-both.example', 'kc-both'], ['ann@kc-preset.example', 'kc-preset'], [`lee@${LINKED.domain}`, 'usher']]) {
      const person = new Person();
      const page = await person.open(`${usher.origin}/`);
      const [form] = forms(page).filter(({ fields }) => 'email' in fields);
      assert.ok(form, plain(page));
      const there = await relay(person, await person.submit(page, { email }, { action: form.action }));
      assert.ok(peer.isSignInPage(there), `${there.status} ${there.url} ${plain(there)}`);
      assert.ok(decodeURIComponent(there.url + person.trail.join()).includes(client), `${email}: ${there.url}`);
    }
  });

  // What has to be refused although this IdP made it.

  async function captured(idp) {
    const person = new Person();
    const page = await responsePage(peer, usher, person, { ...ann(idp), path: '/' });
    return { person, fields: messageForm(page).fields, acs: services[idp].acs };
  }

  test('a response counts once', async () => {
    const { person, fields, acs } = await captured('kc-assertion');
    arrived(usher, await post(person, acs, fields), '/');
    // A reloaded page leads on to the app, and signs nobody in.
    person.jar.forget('usher');
    const again = await post(person, acs, fields);
    assert.ok(again.url.startsWith(`${usher.origin}/_usher/sign-in`), `${again.status} ${again.url}`);
    assert.equal(await isSignedIn(usher, person), false);
  });

  test('a response without the browser that asked for it is refused', async () => {
    const { fields, acs } = await captured('kc-assertion');
    const stranger = new Person();
    refused(usher, await post(stranger, acs, fields), 400);
    assert.equal(await isSignedIn(usher, stranger), false);
  });

  test('a response for one IdP id does not sign in at another', async () => {
    const one = await captured('kc-assertion');
    const two = await captured('kc-both');
    const page = await post(two.person, two.acs, { ...two.fields, SAMLResponse: one.fields.SAMLResponse });
    await refusedAt(usher, page, 'destination');
    assert.equal(await isSignedIn(usher, two.person), false);
  });

  test('a changed assertion is refused', async () => {
    for (const id of ['kc-assertion', 'kc-response', 'kc-both']) {
      const { person, fields, acs } = await captured(id);
      const page = await post(person, acs, { ...fields, SAMLResponse: tamper(fields.SAMLResponse, `ann@${id}.example`, `bob@${id}.example`) });
      await refusedAt(usher, page, 'signature');
      assert.equal(await isSignedIn(usher, person), false);
    }
  });

  for (const [what, check, id, attributes] of [
    ['nothing signed', 'signature', 'kc-both', { 'saml.assertion.signature': 'false', 'saml.server.signature': 'false' }],
    ['a signature with SHA-1', 'signature', 'kc-both', { 'saml.signature.algorithm': 'RSA_SHA1' }],
    ['inclusive canonicalisation', 'signature', 'kc-both', { saml_signature_canonicalization_method: 'http://www.w3.org/TR/2001/REC-xml-c14n-20010315' }],
    ['canonicalisation with comments', 'signature', 'kc-both', { saml_signature_canonicalization_method: 'http://www.w3.org/2001/10/xml-exc-c14n#WithComments' }],
    ['AES-CBC in a response that is not signed', 'decryption', 'kc-encrypted-cbc', ASSERTION_ONLY],
    ['a key wrapped with RSA 1.5', 'decryption', 'kc-encrypted', { 'saml.encryption.keyAlgorithm': `${XMLENC}rsa-1_5` }],
    ['a key wrapped with different digests for OAEP and MGF1', 'decryption', 'kc-encrypted', { 'saml.encryption.keyAlgorithm': `${XMLENC}rsa-oaep-mgf1p` }],
    ['a transient NameID with no attribute as the subject', 'name_id', 'kc-both', { saml_name_id_format: 'transient', saml_force_name_id_format: 'true' }],
    ['no AuthnStatement', 'authn', 'kc-both', { 'saml.authnstatement': 'false' }],
  ]) {
    test(`refused: ${what}`, async () => {
      await peer.changed(services[id].entityId, attributes, async () => {
        const person = new Person();
        await refusedAt(usher, await signIn(peer, usher, person, { ...ann(id), path: '/' }), check);
        assert.equal(await isSignedIn(usher, person), false);
      });
    });
  }

  for (const [what, attributes] of [
    ['AES-128-GCM and rsa-oaep-mgf1p with SHA-1', { ...CBC, 'saml.encryption.algorithm': `${XMLENC11}aes128-gcm` }],
    ['AES-256-GCM and xmlenc11 rsa-oaep with SHA-1', {
      'saml.encryption.keyAlgorithm': `${XMLENC11}rsa-oaep`, 'saml.encryption.digestMethod': SHA1, 'saml.encryption.maskGenerationFunction': `${XMLENC11}mgf1sha1`,
    }],
  ]) {
    test(`reads an assertion encrypted with ${what}`, async () => {
      await peer.changed(services['kc-encrypted'].entityId, attributes, async () => {
        assertAnn(await arrive(peer, usher, new Person(), ann('kc-encrypted')), ann('kc-encrypted'));
      });
    });
  }

  // Sign-in that starts at the IdP.

  test('IdP-initiated: the portal leads to the app, and RelayState chooses only among the configured apps', async () => {
    const who = ann('kc-portal');
    for (const [relayState, lands] of [[undefined, '/'], ['/portal', '/portal'], ['/portal/../admin', '/'], ['/pages/1', '/'], ['https://evil.example/', '/'], ['//evil.example', '/']]) {
      const person = new Person();
      const page = await peer.submitSignIn(person, await person.open(peer.portal('kc-portal', relayState)), who.name);
      assert.ok(!messageOf(page).includes('InResponseTo'), 'the IdP names a request that nobody made');
      arrived(usher, await relay(person, page), lands);
    }
  });

  test('IdP-initiated: refused where it is not configured, and its response counts once', async () => {
    const person = new Person();
    const page = await peer.submitSignIn(person, await person.open(peer.portal('kc-assertion')), ann('kc-assertion').name);
    const answer = await relay(person, page);
    assert.ok([400, 403].includes(answer.status), `${answer.status} ${plain(answer)}`);
    assert.equal(await isSignedIn(usher, person), false);

    const one = new Person();
    const portal = await peer.submitSignIn(one, await one.open(peer.portal('kc-portal')), ann('kc-portal').name);
    const { fields } = messageForm(portal);
    arrived(usher, await post(one, services['kc-portal'].acs, fields), '/');
    const two = new Person();
    await refusedAt(usher, await post(two, services['kc-portal'].acs, fields), 'replay');
    assert.equal(await isSignedIn(usher, two), false);
  });

  // Single logout.

  for (const id of ['kc-preset', 'kc-both', 'kc-response']) {
    test(`${id}: signing out here signs out at Keycloak too`, async () => {
      const { name } = ann(id);
      const person = new Person();
      await arrive(peer, usher, person, ann(id));
      const cookie = person.jar.header(usher.origin);
      const held = await peer.sessionsOf(name);
      const page = await relay(person, await person.open(`${usher.origin}/_usher/sign-out`, { from: 'same-origin' }));
      assert.ok(page.url.startsWith(usher.origin), `back at usher, not ${page.status} ${page.url}\n${plain(page)}`);
      assert.ok(page.status < 400, `${page.status} ${plain(page)}`);
      assert.equal(await isSignedIn(usher, person), false);
      assert.equal((await request(`${usher.origin}/echo`, { headers: { cookie } })).status, 401, 'the old cookie still works');
      assert.equal(await peer.sessionsOf(name), held - 1, 'the session at Keycloak goes on');
      assert.ok(peer.isSignInPage(await begin(usher, person, id)), 'Keycloak asks for the password again');
    });

    test(`${id}: signing out at Keycloak signs out here, and cuts what is open`, async () => {
      const person = new Person();
      await arrive(peer, usher, person, ann(id));
      const bystander = new Person();
      await arrive(peer, usher, bystander, ann(id));
      const socket = await openWebSocket(person, `${usher.origin}/ws`);
      const events = await openEvents(person, `${usher.origin}/sse`);
      await events.more();
      const started = Date.now();
      const page = await relay(person, await peer.signOutHere(person));
      assert.ok(page.url.startsWith(peer.origin), `the end is at Keycloak, not ${page.status} ${page.url}\n${plain(page)}`);
      assert.match(page.text, /logged out|signed out/i, plain(page));
      const closed = await Promise.all([socket, events].map((stream) => Promise.race([stream.closed, sleep(3000, Infinity)])));
      for (const [index, kind] of ['WebSocket', 'event stream'].entries()) {
        assert.ok(closed[index] - started < 2000, `the ${kind} ended after ${closed[index] - started} ms`);
      }
      assert.equal(await isSignedIn(usher, person), false);
      assert.equal(await isSignedIn(usher, bystander), true, 'another session of the same user ended too');
    });
  }

  test('an administrator of Keycloak ends a session: Keycloak tells usher itself, without the browser', async () => {
    const { name } = ann('kc-backchannel');
    const person = new Person();
    await arrive(peer, usher, person, ann('kc-backchannel'));
    assert.equal(await isSignedIn(usher, person), true);
    await peer.endSessions(name);
    await until('the session ends here', async () => !await isSignedIn(usher, person), { within: 5000 });
  });

  test('kc-assertion: where Keycloak signs no documents, our sign-out counts here and theirs does not', async () => {
    const person = new Person();
    await arrive(peer, usher, person, ann('kc-assertion'));
    const carrier = await peer.signOutHere(person);
    await refusedAt(usher, await relay(person, carrier), 'signature');
    assert.equal(await isSignedIn(usher, person), true);
    await relay(person, await person.open(`${usher.origin}/_usher/sign-out`, { from: 'same-origin' }));
    assert.equal(await isSignedIn(usher, person), false);
  });

  test('a LogoutRequest that Keycloak did not sign ends nothing', async () => {
    const id = 'kc-both';
    const person = new Person();
    await arrive(peer, usher, person, ann(id));
    const carrier = await peer.signOutHere(person);
    const { action, fields } = messageForm(carrier);
    assert.equal(action, services[id].slo);
    const changed = tamper(fields.SAMLRequest, '</samlp:SessionIndex>', '0</samlp:SessionIndex>');
    const forged = await new Person().open(action, { method: 'POST', form: { SAMLRequest: changed }, from: 'cross-site' });
    assert.ok([400, 403].includes(forged.status), `${forged.status} ${plain(forged)}`);
    assert.equal(await isSignedIn(usher, person), true);
    await relay(person, carrier);
    assert.equal(await isSignedIn(usher, person), false);
  });

  // A real browser: usher at localhost, Keycloak at 127.0.0.1, so each POST between them crosses sites.

  async function inBrowser(body, options) {
    browser ??= await launchBrowser();
    const context = await profile(browser, options);
    const page = await context.newPage();
    const ours = [];
    page.on('console', (message) => {
      if (message.type() === 'error' && message.location().url.startsWith(usher.origin) && !/Failed to load resource/.test(message.text())) ours.push(message.text());
    });
    try {
      await body(page, context);
      assert.deepEqual(ours, []);
    } finally {
      await context.close();
    }
  }

  async function typePassword(page, name) {
    await page.locator('#username').fill(name);
    await page.locator('#password').fill(`${name}-password`);
    await page.locator('#kc-login').click();
  }

  for (const id of ['kc-assertion', 'kc-both', 'kc-encrypted']) {
    test(`${id} in Chromium: signs in across sites, and out`, async () => {
      await inBrowser(async (page, context) => {
        await page.goto(`${usher.origin}/_usher/sign-in/${id}?return_to=/pages/browser`);
        await page.waitForURL((url) => url.origin === peer.origin);
        await typePassword(page, ann(id).name);
        await page.waitForURL(`${usher.origin}/pages/browser`);
        assert.match(await page.locator('body').innerText(), new RegExp(`ann@${id}\\.example`));
        const session = (await context.cookies(usher.origin)).find(({ name }) => name.includes('usher') && name.length < 16);
        assert.equal(session?.sameSite, 'Lax');
        await page.goto(`${usher.origin}/_usher/sign-out`);
        const confirm = page.locator('form[action*="sign-out"] button');
        if (await confirm.count()) await confirm.first().click();
        await page.waitForURL((url) => url.origin === usher.origin && !url.pathname.endsWith('/sign-out'));
        assert.equal((await context.request.get(`${usher.origin}/_usher/me`)).status(), 401);
        await page.goto(`${usher.origin}/_usher/sign-in/${id}?return_to=/`);
        await page.locator('#kc-login').waitFor();
      });
    });
  }

  test('kc-both in Chromium without JavaScript: a button carries each message', async () => {
    await inBrowser(async (page) => {
      await page.goto(`${usher.origin}/_usher/sign-in/kc-both?return_to=/pages/browser`);
      assert.equal(new URL(page.url()).origin, usher.origin);
      await page.locator('form button, form input[type=submit]').first().click();
      await page.waitForURL((url) => url.origin === peer.origin);
      await typePassword(page, ann('kc-both').name);
      await page.locator('form[action*="/acs"] [type=submit]').first().click();
      await page.waitForURL(`${usher.origin}/pages/browser`);
      assert.match(await page.locator('body').innerText(), /ann@kc-both\.example/);
    }, { javaScriptEnabled: false });
  });

  test('kc-both in Chromium: signing out at Keycloak ends the session here', async () => {
    await inBrowser(async (page, context) => {
      await page.goto(`${usher.origin}/_usher/sign-in/kc-both?return_to=/pages/browser`);
      await page.waitForURL((url) => url.origin === peer.origin);
      await typePassword(page, ann('kc-both').name);
      await page.waitForURL(`${usher.origin}/pages/browser`);
      await page.goto(peer.signOutUrl);
      await page.locator('#kc-logout').click();
      await page.getByText(/logged out|signed out/i).first().waitFor();
      assert.equal((await context.request.get(`${usher.origin}/_usher/me`)).status(), 401);
    });
  });

  test('kc-portal in Chromium: IdP-initiated across sites', async () => {
    await inBrowser(async (page) => {
      await page.goto(peer.portal('kc-portal', '/portal'));
      await typePassword(page, ann('kc-portal').name);
      await page.waitForURL(`${usher.origin}/portal`);
      assert.match(await page.locator('body').innerText(), /ann@kc-portal\.example/);
    });
  });

  // Last, since the realm's keys change for good.

  test('with a new realm key signing, the refreshed metadata lets people in and the pasted certificate does not', async () => {
    const certificate = await peer.addKey();
    await until('usher has read the new descriptor', async () => {
      const page = await signIn(peer, usher, new Person(), { ...ann('kc-both'), path: '/' });
      return page.status === 200;
    }, { within: 30_000, every: 1000 });
    const person = new Person();
    const words = await refusedAt(usher, await signIn(peer, usher, person, { ...ann('kc-pasted'), path: '/' }), 'signature');
    assert.match(words, /certificate/);
    await refusedAt(usher, await signIn(peer, usher, new Person(), { ...ann('kc-file'), path: '/' }), 'signature');

    const pasted = usher.config.identity_providers.find(({ id }) => id === 'kc-pasted');
    pasted.saml.certificates.push(pem(certificate));
    await usher.stop();
    await usher.start();
    assertAnn(await arrive(peer, usher, new Person(), ann('kc-pasted')), ann('kc-pasted'));
  });

  test('with the old key gone, the IdP away and usher started anew, the last good keys are kept', async () => {
    await peer.dropOtherKeys(oneLine((await peer.descriptor()).signing[0]));
    const person = new Person();
    await arrive(peer, usher, person, ann('kc-both'));
    const { fields, acs, person: waiting } = await captured('kc-response');
    await peer.stop();
    arrived(usher, await post(waiting, acs, fields), '/');
    assert.equal(await isSignedIn(usher, person), true);
  });
});
