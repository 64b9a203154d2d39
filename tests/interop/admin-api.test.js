// The admin API against its own OpenAPI document: schemathesis makes requests, good and bad, of every operation.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { request } from './lib/http.js';
import { work } from './lib/places.js';
import { freePort } from './lib/processes.js';
import { schemathesis } from './lib/schemathesis.js';
import { config } from './lib/suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

/** Nobody signs in here, so that nobody need answer at the IdP. */
const IDP = { issuer: 'http://127.0.0.1:9', clientId: 'usher', clientSecret: 'admin-api-client-secret' };
/** A person, an app and an identity provider that are there, so that requests get past `not_found`. */
const realValues = (user) => [
  ...['/users/{id}', '/users/{id}/sessions', '/users/{id}/deactivate', '/users/{id}/reactivate'].map((target) => [target, { 'path.id': user }]),
  ['/users/{id}/apps/{app}/roles', { 'path.id': user, 'path.app': 'wiki' }],
  ['/identity-providers/{id}', { 'path.id': 'acme' }],
  ['/explain', { 'query.user': user, 'query.app': 'wiki' }],
].map(([target, parameters]) => {
  const values = Object.entries(parameters).map(([name, value]) => `"${name}" = "${value}"`).join(', ');
  return `[[operations]]\ninclude-path = "/api/v1${target}"\nparameters = { ${values} }\n`;
}).join('\n');
const BULK = '/api/v1/invitations/bulk';
/** Everything that a response, or an answer to a bad request, can be judged by. */
const CHECKS = [
  'not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_headers_conformance',
  'response_schema_conformance', 'negative_data_rejection', 'unsupported_method', 'ignored_auth', 'use_after_free',
];

describe('the admin API and its OpenAPI document', { timeout: 800_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  const token = randomBytes(32).toString('base64url');
  let usher;
  let folder;
  let origin;

  before(async () => {
    await app.start();
    const listen = `127.0.0.1:${await freePort()}`;
    origin = `http://${listen}`;
    usher = await new Usher({ ...config(IDP, app), admin: { listen, token } }, { name: 'admin-api' }).start();
    await fs.mkdir(path.join(work, 'runs'), { recursive: true });
    folder = await fs.mkdtemp(path.join(work, 'runs', 'schemathesis-'));
  }, { timeout: 60_000 });

  after(async () => {
    const ended = await Promise.allSettled([usher?.stop(), app.stop()]);
    const failed = ended.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;
  });

  const api = (target, { method = 'GET', body, as = token } = {}) => request(`${origin}/api/v1${target}`, {
    method,
    headers: { authorization: `Bearer ${as}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });

  test('the document needs a token and says that it is OpenAPI 3.1', async () => {
    assert.equal((await request(`${origin}/api/v1/openapi.json`)).status, 401);
    const document = (await api('/openapi.json')).json;
    assert.match(document.openapi, /^3\.1\./);
    assert.ok(Object.keys(document.paths).length > 20, Object.keys(document.paths).join(' '));
  });

  test('every operation answers as the document says, whatever it is sent', async () => {
    // Somebody to look at and to change.
    const invite = { email: 'ann@acme.example', name: 'Ann Archer', apps: [{ app: 'wiki', roles: ['editor'] }] };
    const invited = await api('/invitations', { method: 'POST', body: invite });
    assert.equal(invited.status, 201, invited.text);
    await fs.writeFile(path.join(folder, 'schemathesis.toml'), realValues(invited.json.invitation.user));
    const document = path.join(folder, 'openapi.json');
    await fs.writeFile(document, (await api('/openapi.json')).text);
    const judge = async (checks, ...which) => {
      const { code, output } = await schemathesis(
        folder, document, '--url', origin, '--header', `Authorization: Bearer ${token}`, '--checks', checks.join(','), ...which,
        '--max-examples', process.env.SCHEMATHESIS_EXAMPLES ?? '40', '--seed', '20261122', '--workers', '1', '--generation-database', 'none',
      );
      await fs.appendFile(path.join(folder, 'summary.txt'), output);
      assert.equal(code, 0, output);
      console.log(output.slice(output.lastIndexOf('SUMMARY')));
    };
    await judge(CHECKS, '--exclude-path', BULK);
    // Any text is a table in CSV, with mistakes on its lines: what is made as "of another type" is text as well.
    await judge(CHECKS.filter((check) => check !== 'negative_data_rejection'), '--include-path', BULK);
    const status = await api('/status');
    assert.equal(status.status, 200, 'usher is there as before');
  });
});
