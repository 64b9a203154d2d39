// HTTP/2 conformance of both listeners, by h2spec.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { suite, work } from './lib/places.js';
import { Child, run } from './lib/processes.js';
import { Usher, webhookSecret } from './lib/usher.js';

const h2spec = path.join(work, 'h2spec');
const app = new App({ secret: webhookSecret() });

/** An app that anyone may read: h2spec needs answers, not sessions. The IdP is never asked. */
function config(more) {
  return {
    identity_providers: [{ id: 'acme', label: 'Acme', oidc: { issuer: 'http://127.0.0.1:9', client_id: 'usher', client_secret: 'never-sent-client-secret' } }],
    apps: [{ id: 'wiki', upstream: app.origin, access: [{ allow: 'anyone' }] }],
    ...more,
  };
}

async function conformance(usher, flags) {
  const child = new Child('h2spec', h2spec, ['-h', 'localhost', '-p', String(usher.port), '-o', '5', ...flags]);
  const { code } = await child.exit;
  const summary = /^\d+ tests, .*$/m.exec(child.output)?.[0];
  const failures = child.output.split('\n').filter((line) => /×|Error:|Expected:|Actual:/.test(line)).join('\n');
  assert.ok(summary, child.output.slice(-2000));
  assert.equal(code, 0, `${summary}\n${failures}\n${child.output.slice(-6000)}`);
  const count = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(summary);
  assert.ok(Number(count[1]) > 140, summary);
  assert.equal(count[4], '0', summary);
  return summary;
}

describe('HTTP/2 by h2spec', () => {
  before(async () => {
    await fs.mkdir(work, { recursive: true });
    await run('go', ['build', '-o', h2spec, 'github.com/summerwind/h2spec/cmd/h2spec'], { cwd: path.join(suite, 'h2spec') });
    await app.start();
  }, { timeout: 300_000 });
  after(() => app.stop());

  test('the plain listener with prior knowledge', { timeout: 240_000 }, async (t) => {
    const usher = await new Usher(config(), { name: 'h2c' }).start();
    try {
      t.diagnostic(await conformance(usher, []));
    } finally {
      await usher.stop();
    }
  });

  test('the TLS listener', { timeout: 240_000 }, async (t) => {
    const certificate = path.join(work, 'localhost.pem');
    const key = path.join(work, 'localhost-key.pem');
    await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate]);
    const usher = await new Usher(config(), { name: 'h2-tls' }).reserve();
    usher.config.listen = { address: `127.0.0.1:${usher.port}`, tls: { certificate, key } };
    usher.config.public_url = `https://localhost:${usher.port}`;
    await usher.start();
    try {
      t.diagnostic(await conformance(usher, ['-t', '-k']));
    } finally {
      await usher.stop();
    }
  });
});
