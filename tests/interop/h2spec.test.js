// HTTP/2 conformance of both listeners, by h2spec.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import net from 'node:net';
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
  const failed = [...new Set([...child.output.matchAll(/×\s*\d+: (.*)/g)].map(([, title]) => title.trim()))];
  assert.ok(summary, child.output.slice(-2000));
  assert.ok(Number(summary.split(' ')[0]) > 140, summary);
  assert.deepEqual(failed, [], `${summary}\n${child.output.slice(-6000)}`);
  assert.equal(code, 0, `h2spec ended with ${code}: ${summary}`);
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

  test('bytes that are no preface end the connection', async () => {
    const usher = await new Usher(config(), { name: 'no-preface' }).start();
    try {
      const socket = net.connect(usher.port, '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk.toString('latin1');
      });
      socket.write('INVALID CONNECTION PREFACE\r\n\r\n');
      await new Promise((resolve, reject) => {
        socket.once('end', resolve);
        socket.once('error', reject);
        socket.setTimeout(3000, () => reject(new Error(`still open after 3 s: ${answer}`)));
      });
      assert.equal(answer, '');
      socket.destroy();
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
