// docs/idps/keycloak.md, followed word by word: a client made as it says, the configs that it shows, what `usher check` prints.
// And the code of docs/security.md, by which an app verifies the signed header.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { verifier } from '../../docs/verify-jwt/verify.mjs';
import { Person, request } from './lib/http.js';
import { KeycloakSaml } from './lib/keycloak-saml.js';
import { repository, usherBinary, work } from './lib/places.js';
import { Child, freePort, until } from './lib/processes.js';

const ISSUER = 'https://id.corp.example/realms/staff';
const SITE = 'https://wiki.example';

/** The blocks of the guide of one kind, in order. */
async function blocks(kind) {
  const text = await fs.readFile(path.join(repository, 'docs/idps/keycloak.md'), 'utf8');
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].filter(([, named]) => named === kind).map(([, , inside]) => inside);
}

/** `usher check` whatever it exits with. */
function check(file, env) {
  return new Promise((resolve) => {
    execFile(usherBinary, ['check', '--config', file], { env }, (error, stdout) => resolve({ code: error?.code ?? 0, text: stdout.trim() }));
  });
}

describe('the guide for Keycloak', { timeout: 600_000 }, () => {
  const peer = new KeycloakSaml();
  let folder;
  let app;
  let site;
  let port;
  let upstream;

  before(async () => {
    await peer.start();
    await fs.mkdir(path.join(work, 'runs'), { recursive: true });
    folder = await fs.mkdtemp(path.join(work, 'runs', 'keycloak-guide-'));
    [port, upstream] = [await freePort(), await freePort()];
    site = `http://localhost:${port}`;
    app = http.createServer((incoming, outgoing) => outgoing.end(JSON.stringify(incoming.headers)));
    await new Promise((resolve) => { app.listen(upstream, '127.0.0.1', resolve); });
    // The realm's own client is one that the other suites use.
    const [client] = await peer.admin('GET', '/clients?clientId=usher');
    await peer.admin('DELETE', `/clients/${client.id}`);
  }, { timeout: 300_000 });

  after(async () => {
    app?.close();
    await peer.stop();
  });

  const here = (text) => text
    .replace('listen: 0.0.0.0:4180', `listen: 127.0.0.1:${port}`)
    .replaceAll('/var/lib/usher', folder)
    .replaceAll('127.0.0.1:3000', `127.0.0.1:${upstream}`)
    .replaceAll(ISSUER, peer.issuer)
    .replaceAll(SITE, site);

  const there = (text) => text
    .replaceAll(peer.issuer, ISSUER)
    .replaceAll(site, SITE)
    .replaceAll(path.join(folder, 'usher.yaml'), 'usher.yaml')
    .replaceAll(folder, '/var/lib/usher')
    .replaceAll(`127.0.0.1:${upstream}`, '127.0.0.1:3000')
    .replace('IdP keycloak: 127.0.0.1 is', 'IdP keycloak: id.corp.example is')
    .replaceAll('localhost is in DNS', 'wiki.example is in DNS')
    .replace(/certificate "[^"]*" [0-9A-F:]+ is valid until \S+/g, 'certificate "CN=staff" 3F:… is valid until 2036-11-22T10:12:43Z')
    .replace(/usher.db (is there|will be made at the first start)/, 'usher.db will be made at the first start');

  /** Runs usher with a config of the guide while `during` runs. */
  async function withUsher(config, secret, during) {
    const file = path.join(folder, 'usher.yaml');
    await fs.writeFile(file, here(config));
    const env = { ...process.env, KEYCLOAK_SECRET: secret };
    const child = new Child('usher', usherBinary, ['run', '--config', file], { env });
    try {
      await until('usher answers', async () => {
        child.mustRun();
        return (await request(`${site}/_usher/me`, { timeout: 1000 })).status === 401;
      }, { within: 30_000 });
      await during({ file, env });
    } finally {
      await child.kill('SIGTERM');
    }
  }

  async function signIn(name) {
    const person = new Person();
    const page = await person.open(site);
    assert.ok(peer.isSignInPage(page), `${page.status} ${page.url}\n${page.text.slice(0, 500)}`);
    let end = await peer.submitSignIn(person, page, name);
    // By SAML the answer is a form that a browser posts by itself.
    if (end.text.includes('name="SAMLResponse"')) end = await person.submit(end);
    assert.equal(end.status, 200, `${end.url}\n${end.text.slice(0, 1000)}`);
    const me = await person.fetch(`${site}/_usher/me`);
    return { person, me: me.json };
  }

  test('OpenID Connect', async () => {
    const [config] = await blocks('yaml usher');
    const [output] = await blocks('text');
    // Steps 1 to 6.
    await peer.admin('POST', '/clients', {
      clientId: 'usher',
      protocol: 'openid-connect',
      publicClient: false,
      standardFlowEnabled: true,
      directAccessGrantsEnabled: false,
      redirectUris: [`${site}/_usher/oidc/keycloak/callback`],
      frontchannelLogout: false,
      attributes: {
        'post.logout.redirect.uris': `${site}/_usher/sign-out`,
        'backchannel.logout.url': `${site}/_usher/oidc/keycloak/backchannel-logout`,
        'backchannel.logout.session.required': 'true',
      },
      protocolMappers: [{
        name: 'groups',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-group-membership-mapper',
        config: { 'claim.name': 'groups', 'full.path': 'false', 'id.token.claim': 'true', 'access.token.claim': 'true', 'userinfo.token.claim': 'true' },
      }],
    });
    const client = await peer.clientOf('usher');
    const { value } = await peer.admin('GET', `/clients/${client.id}/client-secret`);

    await withUsher(config, value, async ({ file, env }) => {
      const said = await check(file, env);
      assert.equal(there(said.text), output.trim());
      assert.equal(said.code, 0);

      const { person, me } = await signIn('bob');
      assert.deepEqual(me.roles, ['editor']);
      assert.equal(me.user.email, 'bob@acme.example');

      const seen = (await person.fetch(`${site}/`)).json;
      const token = seen['x-usher-jwt'];
      const [issuer, jwks] = [site, `${site}/_usher/jwks.json`];
      const claims = await verifier({ issuer, app: 'wiki', jwks })(token);
      assert.deepEqual([claims.sub, claims.roles], [seen['x-forwarded-user'], ['editor']]);
      const [head, body, signature] = token.split('.');
      const forged = Buffer.from(JSON.stringify({ ...claims, roles: ['admin'] })).toString('base64url');
      for (const [how, wrong] of [
        [{ issuer, app: 'wiki', jwks }, `${head}.${forged}.${signature}`],
        [{ issuer, app: 'wiki', jwks }, `${head}.${body}.`],
        [{ issuer, app: 'other', jwks }, token],
        [{ issuer: 'https://elsewhere.example', app: 'wiki', jwks }, token],
      ]) await assert.rejects(verifier(how)(wrong), wrong);
      await assert.rejects(verifier({ issuer, app: 'wiki', jwks })(token, claims.exp + 31), /expired/);

      // An administrator's "Sign out" ends the session here.
      const { id } = await peer.user('bob');
      await peer.admin('POST', `/users/${id}/logout`);
      await until('the session is over', async () => (await person.fetch(`${site}/_usher/me`)).status === 401);
    });
  });

  test('SAML', async () => {
    const [part] = await blocks('yaml usher-part');
    const [, output] = await blocks('text');
    await fs.rm(path.join(folder, 'usher.db'), { force: true });
    const config = `listen: 0.0.0.0:4180\npublic_url: ${SITE}\n${part}`;
    await withUsher(config, '', async ({ file, env }) => {
      // Steps 1 to 4: imported as the console does, which keeps its own defaults besides.
      const metadata = (await request(`${site}/_usher/saml/keycloak/metadata`)).text;
      const imported = await peer.admin('POST', '/client-description-converter', undefined, metadata);
      const property = (from, name, friendly) => ({
        name, protocol: 'saml', protocolMapper: 'saml-user-property-mapper',
        config: { 'user.attribute': from, 'attribute.name': name, 'attribute.nameformat': friendly ? 'URI Reference' : 'Basic', 'friendly.name': friendly ?? '' },
      });
      await peer.admin('POST', '/clients', {
        ...imported,
        enabled: true,
        attributes: { ...imported.attributes, saml_name_id_format: 'persistent', 'saml.assertion.signature': 'true', 'saml.signature.algorithm': 'RSA_SHA256' },
        protocolMappers: [
          property('email', 'urn:oid:1.2.840.113549.1.9.1', 'email'),
          property('firstName', 'urn:oid:2.5.4.42', 'givenName'),
          property('lastName', 'urn:oid:2.5.4.4', 'surname'),
          property('username', 'username'),
          {
            name: 'groups', protocol: 'saml', protocolMapper: 'saml-group-membership-mapper',
            config: { 'attribute.name': 'member', 'attribute.nameformat': 'Basic', single: 'false', 'full.path': 'false' },
          },
        ],
      });
      const said = await check(file, env);
      assert.equal(there(said.text), output.trim());
      assert.equal(said.code, 0);

      const { me } = await signIn('bob');
      assert.deepEqual(me.roles, ['editor']);
      assert.equal(me.user.email, 'bob@acme.example');
    });
  });
});
