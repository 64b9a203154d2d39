// usher and SimpleSAMLphp: signed metadata, encrypted assertions and NameIDs, single logout over two apps.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { App } from './lib/app.js';
import { Person, request } from './lib/http.js';
import { SimpleSamlPhp } from './lib/simplesamlphp.js';
import {
  arrive, arrived, assertServiceMetadata, firstSignIn, isSignedIn, messageOf, plain, promises, refused, relay, samlConfig, serviceOf, signIn,
} from './lib/saml-suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

// The names of all others are among the usual ones.
const attributes = { groups: 'groups', username: 'uid' };

/** `sp` is what SimpleSAMLphp adds to the SP's metadata. */
const IDPS = {
  'ssp-both': { saml: { name_id_format: 'persistent' }, sp: {} },
  'ssp-assertion': { saml: { name_id_format: 'email' }, sp: { 'saml20.sign.response': false } },
  'ssp-response': { saml: { name_id_format: 'persistent' }, sp: { 'saml20.sign.assertion': false } },
  'ssp-encrypted': { saml: { name_id_format: 'persistent' }, sp: { 'assertion.encryption': true } },
  'ssp-encrypted-id': { saml: { name_id_format: 'persistent' }, sp: { 'nameid.encryption': true } },
  'ssp-transient': { saml: { name_id_format: 'transient', subject: 'uid' }, sp: {} },
  'ssp-portal': { saml: { name_id_format: 'persistent', idp_initiated: true }, sp: { NameIDFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent' } },
};
const IDS = Object.keys(IDPS);

describe('usher and SimpleSAMLphp', { timeout: 600_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  const peer = new SimpleSamlPhp();
  let usher;
  let other;
  let services;
  const test = promises(() => usher);
  const ann = (idp) => ({ idp, name: `ann-${idp}`, email: `ann@${idp}.example` });

  function idp(id) {
    const saml = { metadata_url: peer.metadataUrl, metadata_certificates: [peer.metadataKeys.certificate], ...IDPS[id].saml };
    return { id, saml, attributes };
  }

  before(async () => {
    await Promise.all([app.start(), peer.start()]);
    usher = await new Usher(samlConfig(app, IDS.map(idp)), { name: 'simplesamlphp' }).start();
    // A second app at the same IdP: its SP's entity ID differs by the port. Cookies of one host are shared by all ports.
    other = await new Usher(samlConfig(app, [idp('ssp-both')], { sessions: { cookie_name: '__Host-other' } }), { name: 'simplesamlphp-other' }).start();
    services = Object.fromEntries(await Promise.all(IDS.map(async (id) => [id, await serviceOf(usher, id)])));
    for (const id of IDS) await peer.register(services[id], IDPS[id].sp);
    await peer.register(await serviceOf(other, 'ssp-both'));
    await peer.writePeople(Object.fromEntries(IDS.map((id) => [
      ann(id).name, { mail: ann(id).email, cn: 'Ann Archer', givenName: 'Ann', sn: 'Archer', groups: ['engineering', 'admins'] },
    ])));
  }, { timeout: 120_000 });

  after(async () => {
    const [one, two] = await Promise.allSettled([usher?.stop(), other?.stop(), peer.stop(), app.stop()]);
    for (const ended of [one, two]) if (ended.status === 'rejected') throw ended.reason;
    assert.deepEqual(app.problems, []);
  });

  for (const id of IDS) {
    test(`${id}: a first sign-in makes the account, and the app reads who it is`, async () => {
      const headers = await firstSignIn(peer, usher, app, { ...ann(id), person: new Person() });
      const again = await arrive(peer, usher, new Person(), ann(id));
      assert.equal(again['x-forwarded-user'], headers['x-forwarded-user']);
      assertServiceMetadata(services[id]);
    });
  }

  test('the encrypted ones were encrypted', async () => {
    for (const [id, element] of [['ssp-encrypted', 'EncryptedAssertion'], ['ssp-encrypted-id', 'EncryptedID']]) {
      const person = new Person();
      const page = await person.open(`${usher.origin}/_usher/sign-in/${id}?return_to=/`);
      const answer = await peer.submitSignIn(person, page, ann(id).name);
      assert.ok(messageOf(answer).includes(`:${element}`), id);
    }
  });

  test('metadata that another key signed is not believed', async () => {
    const saml = { metadata_url: peer.metadataUrl, metadata_certificates: [peer.keys.certificate] };
    const doubting = await new Usher(samlConfig(app, [{ id: 'ssp-both', saml, attributes }]), { name: 'simplesamlphp-doubting' }).start();
    try {
      refused(doubting, await new Person().open(`${doubting.origin}/_usher/sign-in/ssp-both?return_to=/`), 503);
    } finally {
      await doubting.stop();
    }
  });

  test('IdP-initiated: the portal leads to the app that RelayState names, where it is configured', async () => {
    for (const [relayState, lands] of [[undefined, '/'], ['/portal', '/portal'], ['https://evil.example/', '/']]) {
      const person = new Person();
      const page = await peer.submitSignIn(person, await person.open(peer.portal(services['ssp-portal'].entityId, relayState)), ann('ssp-portal').name);
      assert.ok(!messageOf(page).includes('InResponseTo'));
      arrived(usher, await relay(person, page), lands);
    }
    const person = new Person();
    const page = await peer.submitSignIn(person, await person.open(peer.portal(services['ssp-both'].entityId)), ann('ssp-both').name);
    assert.ok([400, 403].includes((await relay(person, page)).status));
    assert.equal(await isSignedIn(usher, person), false);
  });

  for (const id of ['ssp-both', 'ssp-assertion', 'ssp-encrypted-id', 'ssp-transient']) {
    test(`${id}: signing out here signs out at the IdP too`, async () => {
      const person = new Person();
      await arrive(peer, usher, person, ann(id));
      const cookie = person.jar.header(usher.origin);
      const page = await relay(person, await person.open(`${usher.origin}/_usher/sign-out`, { from: 'same-origin' }));
      assert.ok(page.url.startsWith(usher.origin) && page.status < 400, `back at usher, not ${page.status} ${page.url}\n${plain(page)}`);
      assert.equal(await isSignedIn(usher, person), false);
      assert.equal((await request(`${usher.origin}/echo`, { headers: { cookie } })).status, 401);
      const again = await person.open(`${usher.origin}/_usher/sign-in/${id}?return_to=/`);
      assert.ok(peer.isSignInPage(again), `the IdP asks for the password again, not ${again.url}`);
    });

    test(`${id}: signing out at the IdP signs out here`, async () => {
      const person = new Person();
      await arrive(peer, usher, person, ann(id));
      const bystander = new Person();
      await arrive(peer, usher, bystander, ann(id));
      const page = await relay(person, await person.open(peer.signOutUrl));
      assert.ok(page.url.startsWith(peer.origin), `the end is at the IdP, not ${page.status} ${page.url}\n${plain(page)}`);
      assert.equal(await isSignedIn(usher, person), false);
      assert.equal(await isSignedIn(usher, bystander), true, 'another session of the same user ended too');
    });
  }

  async function signedInAtBoth() {
    const person = new Person();
    await arrive(peer, usher, person, ann('ssp-both'));
    const page = await relay(person, await person.open(`${other.origin}/_usher/sign-in/ssp-both?return_to=/pages/2`));
    arrived(other, page, '/pages/2');
    assert.equal(await isSignedIn(usher, person) && await isSignedIn(other, person), true);
    return person;
  }

  test('signing out at one app signs out at the other', async () => {
    const person = await signedInAtBoth();
    const page = await relay(person, await person.open(`${usher.origin}/_usher/sign-out`, { from: 'same-origin' }));
    assert.ok(page.url.startsWith(usher.origin) && page.status < 400, `${page.status} ${page.url}\n${plain(page)}\n${other.log()}`);
    assert.equal(await isSignedIn(usher, person), false);
    assert.equal(await isSignedIn(other, person), false, other.log());
  });

  test('signing out at the IdP signs out at both apps', async () => {
    const person = await signedInAtBoth();
    const page = await relay(person, await person.open(peer.signOutUrl));
    assert.ok(page.url.startsWith(peer.origin), `${page.status} ${page.url}\n${plain(page)}\n${other.log()}`);
    assert.equal(await isSignedIn(usher, person), false);
    assert.equal(await isSignedIn(other, person), false, other.log());
  });

  test('SimpleSAMLphp checks our signatures: it refuses an AuthnRequest whose RelayState was swapped', async () => {
    const { next } = await new Person().open(`${usher.origin}/_usher/sign-in/ssp-both?return_to=/`, { stopAt: (url) => url.startsWith(peer.origin) });
    const page = await new Person().open(next.replace(/RelayState=[^&]*/, 'RelayState=another'));
    assert.ok(!peer.isSignInPage(page), plain(page));
    assert.ok(peer.isSignInPage(await new Person().open(next)));
  });

  test('a wrong password stays at the IdP', async () => {
    const person = new Person();
    const page = await peer.submitSignIn(person, await person.open(`${usher.origin}/_usher/sign-in/ssp-both?return_to=/`), ann('ssp-both').name, 'wrong');
    assert.ok(peer.isSignInPage(page));
    assert.equal(await isSignedIn(usher, person), false);
    arrived(usher, await signIn(peer, usher, person, { ...ann('ssp-both'), path: '/' }), '/');
  });
});
