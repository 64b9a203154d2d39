// usher and crewjam's samlidp: its own default formats and algorithms, encryption with AES-CBC under a signed response, its portal.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { App } from './lib/app.js';
import { Person } from './lib/http.js';
import { SamlIdp, RSA_SHA1 } from './lib/samlidp.js';
import { FORMAT } from './lib/saml.js';
import {
  arrive, arrived, assertServiceMetadata, firstSignIn, isSignedIn, messageOf, promises, refusedAt, relay, samlConfig, serviceOf, signIn,
  withoutEncryption,
} from './lib/saml-suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

// The names of all others are among the usual ones.
const attributes = { groups: 'eduPersonAffiliation', username: 'uid' };
const IDPS = {
  'sidp-plain': { saml: {}, clear: true },
  'sidp-post': { saml: { binding: 'post' }, clear: true },
  'sidp-encrypted': { saml: {} },
  'sidp-email': { saml: {}, clear: true, settings: { name_id_format: FORMAT.email, name_id: 'email' } },
  'sidp-transient': { saml: { subject: 'uid' }, clear: true, settings: { name_id_format: '' } },
  'sidp-portal': { saml: { idp_initiated: true }, clear: true },
};
const IDS = Object.keys(IDPS);

describe('usher and samlidp', { timeout: 600_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  const peer = new SamlIdp();
  let usher;
  let services;
  const test = promises(() => usher);
  const ann = (idp) => ({ idp, name: `ann-${idp}`, email: `ann@${idp}.example` });

  before(async () => {
    await Promise.all([app.start(), peer.start()]);
    const idps = IDS.map((id) => ({ id, saml: { metadata_url: peer.metadataUrl, ...IDPS[id].saml }, attributes }));
    usher = await new Usher(samlConfig(app, idps), { name: 'samlidp' }).start();
    services = Object.fromEntries(await Promise.all(IDS.map(async (id) => [id, await serviceOf(usher, id)])));
    for (const id of IDS) {
      const { metadata } = services[id];
      await peer.register({ idp: id, metadata: IDPS[id].clear ? withoutEncryption(metadata) : metadata });
      const { name, email } = ann(id);
      await peer.addPerson(name, { email, common_name: 'Ann Archer', given_name: 'Ann', surname: 'Archer', groups: ['engineering', 'admins'] });
    }
  }, { timeout: 300_000 });

  after(async () => {
    const [ended] = await Promise.allSettled([usher?.stop(), peer.stop(), app.stop()]);
    if (ended.status === 'rejected') throw ended.reason;
    assert.deepEqual(app.problems, []);
  });

  for (const id of IDS) {
    test(`${id}: a first sign-in makes the account, and the app reads who it is`, async () => {
      await peer.settings(IDPS[id].settings);
      const headers = await firstSignIn(peer, usher, app, { ...ann(id), person: new Person() });
      const again = await arrive(peer, usher, new Person(), ann(id));
      assert.equal(again['x-forwarded-user'], headers['x-forwarded-user']);
      assertServiceMetadata(services[id]);
    });
  }

  test('refused: SHA-1, which this library signs with unless told otherwise', async () => {
    await peer.settings({ signature_method: RSA_SHA1 });
    const person = new Person();
    await refusedAt(usher, await signIn(peer, usher, person, { ...ann('sidp-plain'), path: '/' }), 'signature');
    assert.equal(await isSignedIn(usher, person), false);
  });

  test('refused: a NameID that only claims to be transient, with no attribute as the subject', async () => {
    await peer.settings({ name_id_format: '' });
    const person = new Person();
    await refusedAt(usher, await signIn(peer, usher, person, { ...ann('sidp-plain'), path: '/' }), 'name_id');
    assert.equal(await isSignedIn(usher, person), false);
  });

  test('IdP-initiated: the portal leads to the app that RelayState names, where it is configured', async () => {
    await peer.settings();
    const { name } = ann('sidp-portal');
    for (const [shortcut, relayState, lands] of [['one', undefined, '/'], ['two', '/portal', '/portal'], ['three', 'https://evil.example/', '/']]) {
      const start = await peer.addShortcut(shortcut, services['sidp-portal'].entityId, relayState);
      const person = new Person();
      const page = await peer.submitSignIn(person, await person.open(start), name);
      assert.ok(!messageOf(page).includes('InResponseTo'));
      arrived(usher, await relay(person, page), lands);
    }
    const start = await peer.addShortcut('other', services['sidp-plain'].entityId, '/portal');
    const person = new Person();
    const page = await relay(person, await peer.submitSignIn(person, await person.open(start), ann('sidp-plain').name));
    assert.ok([400, 403].includes(page.status), `${page.status} ${page.url}`);
    assert.equal(await isSignedIn(usher, person), false);
  });

  test('signing out where the IdP has no single logout ends the session here', async () => {
    await peer.settings();
    const person = new Person();
    await arrive(peer, usher, person, ann('sidp-plain'));
    const page = await relay(person, await person.open(`${usher.origin}/_usher/sign-out`, { from: 'same-origin' }));
    assert.ok(page.url.startsWith(usher.origin) && page.status < 400, `${page.status} ${page.url}`);
    assert.equal(await isSignedIn(usher, person), false);
  });
});
