// usher and pysaml2: its schema validation and signature check of our messages, and the responses that it makes with xmlsec1.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe } from 'node:test';
import { App } from './lib/app.js';
import { Person } from './lib/http.js';
import { keyPair } from './lib/key-pair.js';
import { usherBinary, work } from './lib/places.js';
import { Child } from './lib/processes.js';
import { pysaml2 } from './lib/pysaml2.js';
import { attributeOf, FORMAT, oneLine, decode, tagOf, textOf, verifiesRedirect } from './lib/saml.js';
import {
  arrived, assertAnn, assertCreated, deliver, isSignedIn, plain, post, promises, refused, refusedAt, samlConfig, sent, serviceOf,
} from './lib/saml-suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

/** Where the IdP would be. Nobody listens there: the suite carries each message itself. */
const IDP = 'http://127.0.0.1:9';
const XMLENC = 'http://www.w3.org/2001/04/xmlenc#';
const XMLENC11 = 'http://www.w3.org/2009/xmlenc11#';
const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';
const OAEP = `${XMLENC}rsa-oaep-mgf1p`;
const PASSWORD = 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport';
const IDPS = {
  'py-redirect': { name_id_format: 'persistent' },
  'py-post': { binding: 'post', name_id_format: 'email' },
  'py-strict': { force_authn: true, authn_context: [PASSWORD] },
};
const IDS = Object.keys(IDPS);

describe('usher and pysaml2', { timeout: 600_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  const peer = { entityId: `${IDP}/metadata` };
  let folder;
  let py;
  let keys;
  let usher;
  let services;
  let read;
  const test = promises(() => usher);

  before(async () => {
    await fs.mkdir(path.join(work, 'runs'), { recursive: true });
    folder = await fs.mkdtemp(path.join(work, 'runs', 'pysaml2-'));
    [py, keys] = await Promise.all([pysaml2(), keyPair(folder, 'idp'), app.start()]);
    const { metadata } = await py.ask('configure', { entity_id: peer.entityId, base: IDP, key_file: keys.keyFile, cert_file: keys.certificateFile });
    await fs.writeFile(path.join(folder, 'idp.xml'), metadata);
    const idps = IDS.map((id) => ({
      id, saml: { metadata_file: path.join(folder, 'idp.xml'), ...IDPS[id] }, attributes: { groups: 'eduPersonAffiliation', username: 'uid' },
    }));
    usher = await new Usher(samlConfig(app, idps), { name: 'pysaml2' }).start();
    services = Object.fromEntries(await Promise.all(IDS.map(async (id) => [id, await serviceOf(usher, id)])));
    const files = IDS.map((id) => path.join(folder, `${id}.xml`));
    await Promise.all(IDS.map((id, index) => fs.writeFile(files[index], services[id].metadata)));
    read = await py.ask('trust', { metadata_files: files });
  }, { timeout: 300_000 });

  after(async () => {
    const [ended] = await Promise.allSettled([usher?.stop(), py?.stop(), app.stop()]);
    if (ended.status === 'rejected') throw ended.reason;
    assert.deepEqual(app.problems, []);
  });

  /** What pysaml2's readers are given of a message. */
  function arriving(message) {
    if (message.binding === 'post') return { binding: 'post', message: message.fields[message.name] };
    const { RelayState, SigAlg, Signature } = message.parameters;
    return { binding: 'redirect', message: message.parameters[message.name], relay_state: RelayState, sig_alg: SigAlg, signature: Signature };
  }

  const ann = (idp) => ({ idp, name: 'ann', email: `ann@${idp}.example` });
  const nameId = (idp, format = FORMAT.persistent) => ({ format, value: format === FORMAT.email ? `ann@${idp}.example` : `${idp}-ann` });

  /** One sign-in: usher's request, read by pysaml2, and pysaml2's answer as `how` says. */
  async function round(idp, how = {}, person = new Person(), at = usher) {
    const asked = await sent(person, `${at.origin}/_usher/sign-in/${idp}?return_to=/pages/1`, IDP);
    const request = await py.ask('authn_request', arriving(asked));
    const identity = {
      mail: [`ann@${idp}.example`], cn: ['Ann Archer'], givenName: ['Ann'], sn: ['Archer'], uid: [`ann-${idp}`], eduPersonAffiliation: ['engineering', 'admins'],
    };
    const { response } = await py.ask('respond', { request_id: request.id, acs: request.acs, sp: request.issuer, name_id: nameId(idp, request.format ?? undefined), identity, ...how });
    const page = await post(person, request.acs, { SAMLResponse: response, RelayState: asked.relayState });
    return { person, page, response, request, asked };
  }

  test('our metadata is valid by the schema, signed, and says what it should', async () => {
    for (const id of IDS) {
      const { entityId, acs, slo } = services[id];
      assert.deepEqual(read[entityId], { acs: [acs], slo: [slo, slo], signing: 1, encryption: 1, authn_requests_signed: 'true' });
      const certificate = path.join(folder, `${id}.crt`);
      await fs.writeFile(certificate, services[id].signing[0]);
      assert.deepEqual(await py.ask('metadata_signature', { metadata_file: path.join(folder, `${id}.xml`), cert_file: certificate }), { verified: true });
    }
  });

  for (const id of IDS) {
    test(`${id}: pysaml2 reads our AuthnRequest and its answer makes the account`, async () => {
      const { page, request, asked } = await round(id);
      assert.equal(asked.binding, IDPS[id].binding ?? 'redirect');
      assert.equal(request.issuer, services[id].entityId);
      assert.equal(request.destination, `${IDP}/sso`);
      assert.equal(request.acs, services[id].acs);
      assert.equal(request.format, { persistent: FORMAT.persistent, email: FORMAT.email }[IDPS[id].name_id_format] ?? null);
      assert.equal(request.force_authn ?? 'false', String(IDPS[id].force_authn ?? false));
      assert.deepEqual(request.contexts, IDPS[id].authn_context ?? []);
      const headers = arrived(usher, page, '/pages/1');
      assertAnn(headers, { ...ann(id), name: `ann-${id}` });
      assertCreated(app, headers, { idp: id, email: ann(id).email, issuer: peer.entityId });
    });
  }

  test('pysaml2 refuses our AuthnRequest when its RelayState or a byte of it was changed', async () => {
    const asked = await sent(new Person(), `${usher.origin}/_usher/sign-in/py-redirect?return_to=/`, IDP);
    const swapped = await py.try('authn_request', { ...arriving(asked), relay_state: 'another' });
    assert.match(swapped.error ?? '', /sign/i);
    const form = await sent(new Person(), `${usher.origin}/_usher/sign-in/py-post?return_to=/`, IDP);
    const changed = Buffer.from(decode(form.fields.SAMLRequest).replace(/IssueInstant="20/, 'IssueInstant="19')).toString('base64');
    assert.ok((await py.try('authn_request', { binding: 'post', message: changed })).error);
  });

  const encrypt = (content, session_key, key = OAEP) => () => ({ encrypt: { cert: oneLine(services['py-redirect'].encryption[0]), content, session_key, key } });
  const as = (how) => () => how;
  const ONLY_RESPONSE = { sign_assertion: false, sign_response: true };
  const BOTH = { sign_assertion: true, sign_response: true };

  for (const [what, how] of [
    ['the response signed alone', as(ONLY_RESPONSE)],
    ['both signed', as(BOTH)],
    ['RSA with SHA-384', as({ sign_alg: `${MORE}rsa-sha384`, digest_alg: `${MORE}sha384` })],
    ['RSA with SHA-512', as({ sign_alg: `${MORE}rsa-sha512`, digest_alg: `${XMLENC}sha512` })],
    ['AES-256-GCM around a signed assertion', encrypt(`${XMLENC11}aes256-gcm`, 'aes-256')],
    ['AES-128-GCM around a signed assertion', encrypt(`${XMLENC11}aes128-gcm`, 'aes-128')],
    ['AES-256-GCM in a signed response', () => ({ ...encrypt(`${XMLENC11}aes256-gcm`, 'aes-256')(), ...ONLY_RESPONSE })],
    ['AES-128-CBC in a signed response', () => ({ ...encrypt(`${XMLENC}aes128-cbc`, 'aes-128')(), ...BOTH })],
    ['AES-256-CBC in a signed response', () => ({ ...encrypt(`${XMLENC}aes256-cbc`, 'aes-256')(), ...ONLY_RESPONSE })],
  ]) {
    test(`accepted: ${what}`, async () => {
      const { page } = await round('py-redirect', how());
      assertAnn(arrived(usher, page, '/pages/1'), { ...ann('py-redirect'), name: 'ann-py-redirect' });
    });
  }

  for (const [what, check, how] of [
    ['nothing signed', 'signature', as({ sign_assertion: false })],
    ['RSA with SHA-1', 'signature', as({ sign_alg: 'http://www.w3.org/2000/09/xmldsig#rsa-sha1', digest_alg: 'http://www.w3.org/2000/09/xmldsig#sha1' })],
    ['a digest with SHA-1', 'signature', as({ digest_alg: 'http://www.w3.org/2000/09/xmldsig#sha1' })],
    ['AES-256-CBC where the response is not signed', 'decryption', encrypt(`${XMLENC}aes256-cbc`, 'aes-256')],
    ['triple DES, which pysaml2 takes by itself', 'decryption', () => ({ ...encrypt(`${XMLENC}tripledes-cbc`, 'des-192')(), ...BOTH })],
    ['RSA 1.5', 'decryption', encrypt(`${XMLENC11}aes256-gcm`, 'aes-256', `${XMLENC}rsa-1_5`)],
    ['encrypted for another SP', 'decryption', () => ({ encrypt: { cert: oneLine(keys.certificate), content: `${XMLENC11}aes256-gcm`, session_key: 'aes-256', key: OAEP } })],
    ['another audience', 'audience', () => ({ sp: services['py-post'].entityId })],
    ['another request', 'in_response_to', as({ request_id: '_00000000000000000000000000000000' })],
    ['another destination and recipient', 'destination', () => ({ acs: services['py-post'].acs })],
    ['a transient NameID', 'name_id', as({ name_id: { format: FORMAT.transient, value: 'x' } })],
  ]) {
    test(`refused: ${what}`, async () => {
      const { person, page } = await round('py-redirect', how());
      await refusedAt(usher, page, check);
      assert.equal(await isSignedIn(usher, person), false);
    });
  }

  test('with two key pairs both are published, the first signs, and either decrypts', async () => {
    const pairs = [await keyPair(folder, 'sp-new'), await keyPair(folder, 'sp-old')];
    const { saml, ...idp } = usher.config.identity_providers[0];
    const saml_keys = pairs.map(({ certificateFile, keyFile }) => ({ certificate: { file: certificateFile }, key: { file: keyFile } }));
    const rolling = await new Usher(samlConfig(app, [{ ...idp, id: 'py-rolling', email_domains: ['py-rolling.example'], saml }], { keys: { saml: saml_keys } }), { name: 'pysaml2-rolling' }).start();
    try {
      const service = await serviceOf(rolling, 'py-rolling');
      assert.deepEqual(service.signing.map(oneLine), pairs.map(({ certificate }) => oneLine(certificate)));
      assert.deepEqual(service.encryption.map(oneLine), pairs.map(({ certificate }) => oneLine(certificate)));
      const file = path.join(folder, 'py-rolling.xml');
      await fs.writeFile(file, service.metadata);
      await py.ask('trust', { metadata_files: [...IDS.map((id) => path.join(folder, `${id}.xml`)), file] });
      for (const { certificate } of pairs) {
        const { page, asked } = await round('py-rolling', {
          encrypt: { cert: oneLine(certificate), content: `${XMLENC11}aes256-gcm`, session_key: 'aes-256', key: OAEP },
        }, new Person(), rolling);
        assert.ok(verifiesRedirect(asked.url, pairs[0].certificate));
        assertAnn(arrived(rolling, page, '/pages/1'), { name: 'ann-py-rolling', email: 'ann@py-rolling.example' });
      }
    } finally {
      await rolling.stop();
    }
  });

  test('`usher saml inspect` verifies a captured response offline, and names the step at which a changed one fails', async () => {
    const { response } = await round('py-redirect', encrypt(`${XMLENC11}aes256-gcm`, 'aes-256')());
    const { response: signed } = await round('py-redirect', BOTH);
    const inspect = async (text) => {
      const file = path.join(folder, 'captured.txt');
      await fs.writeFile(file, text);
      const child = new Child('inspect', usherBinary, ['saml', 'inspect', '--config', usher.file, '--idp', 'py-redirect', file]);
      return { ...await child.exit, output: child.output };
    };
    for (const good of [response, signed, decode(signed)]) {
      const { code, output } = await inspect(good);
      assert.equal(code, 0, output);
      assert.match(output, /ann@py-redirect\.example/);
    }
    const { code, output } = await inspect(decode(signed).replace('ann@py-redirect.example', 'bob@py-redirect.example'));
    assert.equal(code, 1, output);
    assert.match(output, /signature/);
  });

  test('a used response does not sign in again, not even with a new request of the same browser', async () => {
    const person = new Person();
    const { response } = await round('py-redirect', {}, person);
    const asked = await sent(person, `${usher.origin}/_usher/sign-in/py-redirect?return_to=/`, IDP);
    await refusedAt(usher, await post(person, services['py-redirect'].acs, { SAMLResponse: response, RelayState: asked.relayState }), 'in_response_to');
  });

  /** SubjectNameID and SessionIndex of the response, as the IdP keeps them. */
  function sessionOf(idp, response) {
    const xml = decode(response);
    return { name_id: nameId(idp, attributeOf(tagOf(xml, 'NameID'), 'Format')), session_indexes: [attributeOf(tagOf(xml, 'AuthnStatement'), 'SessionIndex')] };
  }

  for (const id of ['py-redirect', 'py-post']) {
    const binding = IDPS[id].binding ?? 'redirect';

    for (const partial of [false, true]) {
      test(`${id}: pysaml2 reads our LogoutRequest, and we its answer${partial ? ' that it went only in part' : ''}`, async () => {
        const { person, response } = await round(id);
        const { name_id, session_indexes } = sessionOf(id, response);
        const asked = await sent(person, `${usher.origin}/_usher/sign-out`, IDP);
        const request = await py.ask('logout_request', arriving(asked));
        assert.equal(asked.binding, binding);
        assert.equal(request.issuer, services[id].entityId);
        assert.equal(request.destination, `${IDP}/slo`);
        assert.equal(request.name_id, name_id.value);
        assert.equal(request.format, name_id.format);
        assert.deepEqual(request.session_indexes, session_indexes);
        assert.equal(await isSignedIn(usher, person), false, 'the session here waits for the IdP');
        const answer = await py.ask('make_logout_response', {
          sp: services[id].entityId, in_response_to: request.id, binding, relay_state: asked.relayState, partial_logout: partial,
        });
        const { page } = await deliver(person, { ...answer, action: services[id].slo }, IDP);
        const words = refused(usher, page, partial ? page.status : 200);
        assert.ok(page.status < 500, `${page.status} ${words}`);
        if (partial) assert.match(words, /not|other|close|still/i);
      });
    }

    test(`${id}: a LogoutRequest of pysaml2 ends the session, and it reads our answer`, async () => {
      for (const by of ['redirect', 'post']) {
        const { person, response } = await round(id);
        const { person: bystander } = await round(id);
        const made = await py.ask('make_logout_request', {
          destination: services[id].slo, ...sessionOf(id, response), binding: by, relay_state: 'state-of-the-idp',
        });
        const answer = await deliver(new Person(), { ...made, action: services[id].slo }, IDP);
        assert.ok(answer.xml, `an answer, not ${answer.page?.status} ${answer.page && plain(answer.page)}`);
        assert.equal(answer.relayState, 'state-of-the-idp');
        const said = await py.ask('logout_response', { binding: answer.binding, message: answer.fields?.SAMLResponse ?? answer.parameters.SAMLResponse });
        assert.equal(said.in_response_to, made.id);
        assert.equal(said.issuer, services[id].entityId);
        assert.equal(said.destination, `${IDP}/slo`);
        assert.equal(said.status, 'urn:oasis:names:tc:SAML:2.0:status:Success');
        if (answer.binding === 'redirect') assert.ok(verifiesRedirect(answer.url, services[id].signing[0]), 'the signature of our answer');
        else assert.ok(textOf(answer.xml, 'SignatureValue'), 'our answer is signed');
        assert.equal(await isSignedIn(usher, person), false);
        assert.equal(await isSignedIn(usher, bystander), true, 'another session of the same user ended too');
      }
    });
  }

  test('a LogoutRequest counts once, and without its signature it ends nothing', async () => {
    const slo = services['py-redirect'].slo;
    const { person, response } = await round('py-redirect');
    const ask = () => py.ask('make_logout_request', { destination: slo, ...sessionOf('py-redirect', response), binding: 'redirect', relay_state: 'r' });
    const { url } = await ask();
    for (const bad of [
      url.slice(0, url.indexOf('&SigAlg')),
      url.replace('RelayState=r', 'RelayState=s'),
      url.replace('&RelayState=r', ''),
      `${url}&RelayState=r`,
      url.replace(/Signature=[^&]*/, `Signature=${encodeURIComponent(Buffer.alloc(256, 1).toString('base64'))}`),
    ]) {
      const { page } = await deliver(new Person(), { url: bad }, IDP);
      assert.ok([400, 403].includes(page?.status), `${page?.status} for ${bad.slice(-120)}`);
      assert.equal(await isSignedIn(usher, person), true, bad.slice(-120));
    }
    await deliver(new Person(), { url }, IDP);
    assert.equal(await isSignedIn(usher, person), false);
    const again = await deliver(new Person(), { url }, IDP);
    assert.ok([400, 403].includes(again.page?.status), `a used LogoutRequest is answered with ${again.page?.status ?? again.xml}`);
  });
});
