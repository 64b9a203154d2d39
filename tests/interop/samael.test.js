// usher and samael, another SAML library in Rust: it reads our metadata, requests and logout messages, and we read its.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe } from 'node:test';
import { App } from './lib/app.js';
import { Person } from './lib/http.js';
import { samael } from './lib/samael.js';
import { FORMAT, pem } from './lib/saml.js';
import {
  arrived, assertAnn, assertCreated, deliver, isSignedIn, plain, post, promises, refusedAt, samlConfig, sent, serviceOf,
} from './lib/saml-suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

/** Where the IdP would be. Nobody listens there: the suite carries each message itself. */
const IDP = 'http://127.0.0.1:9';
const ISSUER = `${IDP}/metadata`;
const IDPS = {
  'sml-redirect': { name_id_format: 'persistent' },
  'sml-post': { binding: 'post', name_id_format: 'persistent' },
  // Its IdP signs with P-256.
  'sml-p256': { name_id_format: 'persistent' },
};
const IDS = Object.keys(IDPS);

describe('usher and samael', { timeout: 900_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  let peers;
  let usher;
  let services;
  const test = promises(() => usher);

  before(async () => {
    peers = [await samael()];
    peers.push(await samael('p256'));
    await app.start();
    // Pasted, as an admin page shows it: entity ID, URLs and certificate.
    const given = { entity_id: ISSUER, sso_url: `${IDP}/sso`, slo_url: `${IDP}/slo` };
    const idps = await Promise.all(IDS.map(async (id) => {
      const { certificate } = await peerOf(id).ask('certificate');
      return { id, saml: { ...given, certificates: [pem(certificate)], ...IDPS[id] } };
    }));
    usher = await new Usher(samlConfig(app, idps), { name: 'samael' }).start();
    services = Object.fromEntries(await Promise.all(IDS.map(async (id) => [id, await serviceOf(usher, id)])));
  }, { timeout: 800_000 });

  after(async () => {
    const [ended] = await Promise.allSettled([usher?.stop(), app.stop(), ...(peers ?? []).map((peer) => peer.stop())]);
    if (ended.status === 'rejected') throw ended.reason;
    assert.deepEqual(app.problems, []);
  });

  const peerOf = (id) => peers[id === 'sml-p256' ? 1 : 0];
  const trust = (id) => peerOf(id).ask('trust', { metadata: services[id].metadata });
  const attributes = (id) => ({
    email: [`ann@${id}.example`], givenName: ['Ann'], surname: ['Archer'], username: [`ann-${id}`], groups: ['engineering', 'admins'],
  });

  /** What samael's reader of this kind makes of a message. */
  function reads(id, kind, message) {
    return peerOf(id).ask(`${kind}_${message.binding}`, message.binding === 'redirect' ? { url: message.url } : { xml: message.xml });
  }

  async function round(id, how = {}, person = new Person()) {
    await trust(id);
    const asked = await sent(person, `${usher.origin}/_usher/sign-in/${id}?return_to=/pages/1`, IDP);
    const request = await reads(id, 'authn_request', asked);
    const { response } = await peerOf(id).ask('respond', {
      request_id: request.id, acs: services[id].acs, sp: request.issuer, issuer: ISSUER, name_id: `${id}-ann`, format: FORMAT.persistent,
      session_index: `index-${request.id}`, attributes: attributes(id), ...how,
    });
    const page = await post(person, services[id].acs, { SAMLResponse: response, RelayState: asked.relayState });
    return { person, page, request, asked };
  }

  test('samael reads our metadata and verifies its signature', async () => {
    for (const id of IDS) {
      const { formats, ...read } = await trust(id);
      assert.deepEqual(read, {
        entity_id: services[id].entityId, acs: services[id].acs, slo: [services[id].slo, services[id].slo], signing: 1, encryption: 1, authn_requests_signed: true, signed: true,
      });
    }
  });

  for (const id of IDS) {
    test(`${id}: samael verifies our AuthnRequest and its answer makes the account`, async () => {
      const { page, request, asked } = await round(id);
      assert.equal(asked.binding, IDPS[id].binding ?? 'redirect');
      assert.equal(request.issuer, services[id].entityId);
      assert.equal(request.destination, `${IDP}/sso`);
      assert.equal(request.acs, services[id].acs);
      assert.equal(request.binding, 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST');
      assert.equal(request.format, FORMAT.persistent);
      const headers = arrived(usher, page, '/pages/1');
      const email = `ann@${id}.example`;
      assertAnn(headers, { name: `ann-${id}`, email });
      assertCreated(app, headers, { idp: id, email, issuer: ISSUER });
    });

    test(`${id}: accepted with the assertion signed alone`, async () => {
      const { page } = await round(id, { sign: 'assertion' });
      arrived(usher, page, '/pages/1');
    });

    test(`${id}: samael verifies our LogoutRequest, and we its answer`, async () => {
      const { person } = await round(id);
      const asked = await sent(person, `${usher.origin}/_usher/sign-out`, IDP);
      const request = await reads(id, 'logout_request', asked);
      assert.deepEqual({ ...request, id: undefined }, { id: undefined, issuer: services[id].entityId, destination: `${IDP}/slo`, name_id: `${id}-ann` });
      assert.equal(await isSignedIn(usher, person), false);
      const { message } = await peerOf(id).ask('make_logout_response', { id: newId(), in_response_to: request.id, destination: services[id].slo, issuer: ISSUER });
      const { page } = await deliver(person, { action: services[id].slo, fields: { SAMLResponse: message, RelayState: asked.relayState } }, IDP);
      assert.ok(page && page.status < 400, `${page?.status} ${page && plain(page)}`);
    });

    test(`${id}: a LogoutRequest of samael ends the session, and it verifies our answer`, async () => {
      const { person, request } = await round(id);
      const asked = { id: newId(), destination: services[id].slo, issuer: ISSUER, name_id: `${id}-ann`, format: FORMAT.persistent, session_index: `index-${request.id}` };
      const { message } = await peerOf(id).ask('make_logout_request', asked);
      const answer = await deliver(new Person(), { action: services[id].slo, fields: { SAMLRequest: message, RelayState: 'r' } }, IDP);
      assert.ok(answer.xml, `an answer, not ${answer.page?.status} ${answer.page && plain(answer.page)}`);
      assert.deepEqual(await reads(id, 'logout_response', answer), {
        in_response_to: asked.id, issuer: services[id].entityId, destination: `${IDP}/slo`, status: 'urn:oasis:names:tc:SAML:2.0:status:Success',
      });
      assert.equal(await isSignedIn(usher, person), false);
    });
  }

  for (const [what, check, how] of [
    ['as samael builds it: no times, and a NameID format that does not exist', 'time', { bare: true }],
    ['with the SHA-1 digest of its template', 'signature', { digest: 'sha1' }],
  ]) {
    test(`refused: a response ${what}`, async () => {
      const { person, page } = await round('sml-redirect', how);
      await refusedAt(usher, page, check);
      assert.equal(await isSignedIn(usher, person), false);
    });
  }
});

function newId() {
  return `_${randomBytes(16).toString('hex')}`;
}
