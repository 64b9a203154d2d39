// The SCIM server, by scim2-tester: it reads what the server says it can do, and holds it to that.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { scim2Checks } from './lib/scim2.js';
import { Usher } from './lib/usher.js';

const token = randomBytes(32).toString('base64url');

describe('SCIM by scim2-tester', { timeout: 300_000 }, () => {
  const usher = new Usher({
    identity_providers: [{
      id: 'acme', label: 'Acme', scim: { token },
      oidc: { issuer: 'http://127.0.0.1:9', client_id: 'usher', client_secret: 'never-sent-client-secret' },
    }],
    apps: [{ id: 'wiki', upstream: 'http://127.0.0.1:9' }],
  }, { name: 'scim' });

  before(() => usher.start());
  after(() => usher.stop());

  test('every check passes', { timeout: 240_000 }, async (t) => {
    const checks = await scim2Checks(`${usher.origin}/_usher/scim/acme/v2`, token);
    const passed = checks.filter(({ status }) => status === 'SUCCESS');
    const others = checks.filter(({ status }) => status !== 'SUCCESS');
    assert.deepEqual(others, [], `${others.length} of ${checks.length} did not pass`);
    assert.ok(passed.length > 120, `only ${passed.length} checks`);
    t.diagnostic(`${passed.length} checks passed`);
  });
});
