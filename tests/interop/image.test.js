// The image that the Dockerfile makes: what is in it, and usher in it, read-only and under a user id of no meaning.
// Needs root, buildah, debootstrap and binutils. `tests/interop/image/build` first: it takes minutes, and is quick when nothing changed.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { Person } from './lib/http.js';
import { Container, auditable, entries, image, rootfs } from './lib/image.js';
import { OidcProvider } from './lib/oidc-provider.js';
import { freePort, sleep } from './lib/processes.js';
import { config as oidcConfig, signIn } from './lib/suite.js';
import { webhookSecret } from './lib/usher.js';

const MEGABYTES_AT_MOST = 40;
const FILE = 0o100000;
const crates = (list) => new Set(list.map(({ name, version }) => `${name} ${version}`));

describe('the image', { timeout: 3_600_000 }, () => {
  let config;
  let facts;
  let all;

  before(async () => {
    ({ config, facts } = await image());
    all = await entries();
  }, { timeout: 3_600_000 });

  test(`has at most ${MEGABYTES_AT_MOST} MB`, async (t) => {
    const megabytes = facts.bytes / 1e6;
    const { size } = all.find(({ name }) => name === '/usr/bin/usher');
    t.diagnostic(`${megabytes.toFixed(1)} MB, usher ${(size / 1e6).toFixed(1)} MB, ${facts.shipped ? 'as shipped' : 'hardly optimised'}; built in ${facts.build_seconds} s`);
    assert.ok(megabytes < MEGABYTES_AT_MOST, `${megabytes} MB`);
  });

  test('has usher and the C library to run, and nothing else', () => {
    const programs = all.filter(({ kind, mode }) => kind === FILE && mode & 0o111).map(({ name }) => name);
    const strangers = programs.filter((name) => !/^\/usr\/bin\/usher$|^\/lib(64)?\/.*\/?(ld-linux|lib(c|m|gcc_s))[^/]*\.so\.\d$/.test(name));
    assert.deepEqual(strangers, []);
    assert.ok(programs.includes('/usr/bin/usher'));
    assert.deepEqual(all.filter(({ name }) => /\/(sh|bash|busybox|apt|dpkg|perl|python3?)$/.test(name) && !name.startsWith('/var/lib/dpkg')), []);
  });

  test('has nothing that gives rights, and nothing that its user may change but /var/lib/usher', () => {
    assert.deepEqual(all.filter(({ mode, kind }) => kind === FILE && mode & 0o6000), []);
    const loose = all.filter(({ mode, uid, gid, kind }) => kind !== 0o120000 && (uid !== 0 || gid !== 0 || mode & 0o022));
    assert.deepEqual(loose.map(({ name, mode, uid, gid }) => [name, mode, uid, gid]), [['/var/lib/usher', 0o770, 65532, 0]]);
  });

  test('says what it is and how it is run', () => {
    assert.equal(config.User, '65532:65532');
    assert.deepEqual(config.Entrypoint, ['/usr/bin/usher']);
    assert.deepEqual(config.Cmd, ['run']);
    assert.ok(config.Env.includes('USHER_CONFIG=/etc/usher/usher.yaml'));
    assert.deepEqual(Object.keys(config.Volumes), ['/var/lib/usher']);
    assert.deepEqual(Object.keys(config.ExposedPorts).sort(), ['4180/tcp', '4181/tcp', '4182/tcp']);
    assert.equal(config.StopSignal, 'SIGTERM');
    assert.deepEqual(config.Healthcheck.Test, ['CMD', '/usr/bin/usher', 'healthcheck']);
    for (const name of ['title', 'description', 'licenses', 'version', 'revision', 'created']) {
      assert.ok(config.Labels[`org.opencontainers.image.${name}`], name);
    }
  });

  test('names its parts twice, and the same', async (t) => {
    const bill = JSON.parse(await fs.readFile(path.join(rootfs, 'usr/share/usher/usher.cdx.json')));
    assert.equal(bill.bomFormat, 'CycloneDX');
    assert.equal(bill.metadata.component.name, 'usher');
    const listed = crates(bill.components);
    const linked = crates((await auditable()).filter(({ kind, root }) => kind !== 'build' && !root));
    t.diagnostic(`${listed.size} crates in the SBOM, ${linked.size} of them linked`);
    assert.ok(linked.size > 100);
    assert.deepEqual([...linked].filter((one) => !listed.has(one)), [], 'linked, but not in the SBOM');
    assert.ok(!bill.components.some(({ name }) => name === 'proptest'), 'what only tests need');
    const packages = await fs.readdir(path.join(rootfs, 'var/lib/dpkg/status.d'));
    assert.deepEqual(packages.sort(), ['libc6', 'libgcc-s1']);
  });

  describe('as a container', () => {
    const app = new App({ secret: webhookSecret() });
    const peer = new OidcProvider();
    const person = new Person();
    let slow;
    let usher;
    let ready;
    let container;

    before(async () => {
      slow = http.createServer(async (incoming, outgoing) => {
        outgoing.write('begun, ');
        await sleep(1500);
        outgoing.end('and ended');
      });
      await Promise.all([app.start(), peer.start()]);
      const [port, metrics, slowPort] = [await freePort(), await freePort(), await freePort()];
      await new Promise((resolve) => slow.listen(slowPort, '127.0.0.1', resolve));
      usher = { origin: `http://localhost:${port}` };
      ready = `http://127.0.0.1:${metrics}/readyz`;
      await peer.register([usher.origin]);
      const { identity_providers: [acme], apps: [wiki] } = oidcConfig(peer, app);
      acme.oidc.client_secret = { file: '/run/secrets/acme' };
      wiki.provisioning.callback.secret = { file: '/run/secrets/hook' };
      // The name is in /etc/hosts alone.
      wiki.upstream = wiki.upstream.replace('127.0.0.1', 'app.internal');
      const text = JSON.stringify({
        listen: `127.0.0.1:${port}`,
        public_url: usher.origin,
        metrics: { listen: `127.0.0.1:${metrics}` },
        store: 'sqlite:/var/lib/usher/usher.db',
        timeouts: { linger: 'none' },
        identity_providers: [acme],
        apps: [wiki, { id: 'slow', path: '/slow', upstream: `http://app.internal:${slowPort}` }],
      });
      container = await new Container({
        config,
        uid: 123456,
        gid: 0,
        files: {
          'etc/usher/usher.yaml': text,
          'etc/hosts': '127.0.0.1 localhost app.internal\n',
          'run/secrets/acme': `${peer.clientSecret}\n`,
          'run/secrets/hook': `${app.secret}\n`,
        },
      }).create();
    });

    after(async () => {
      await container?.remove();
      slow?.closeAllConnections();
      slow?.close();
      await Promise.allSettled([app.stop(), peer.stop()]);
      assert.deepEqual(app.problems, []);
    });

    test('is not healthy before it runs', () => {
      const { code, output } = container.execute(['/usr/bin/usher', 'healthcheck']);
      assert.equal(code, 1, output);
      assert.match(output, /readyz/);
    });

    test('starts with a root that nobody can write, as a user whom nothing knows', async (t) => {
      const milliseconds = await container.start(ready);
      t.diagnostic(`ready after ${milliseconds.toFixed(0)} ms`);
      const { pid } = container.child;
      const status = await fs.readFile(`/proc/${pid}/status`, 'utf8');
      assert.match(status, /^Uid:\s+123456\s+123456\s+123456\s+123456$/m);
      assert.match(status, /^Groups:\s*$/m);
      assert.match(status, /^CapEff:\s+0+$/m);
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      assert.equal(await fs.readlink(`/proc/${pid}/cwd`), path.join(container.root, 'var/lib/usher'));
      const root = (await fs.readFile(`/proc/${pid}/mountinfo`, 'utf8')).split('\n').find((line) => line.split(' ')[4] === '/');
      assert.match(root.split(' ')[5], /^ro,/);
    });

    test('is healthy by its own healthcheck', () => {
      const { code, output } = container.execute(config.Healthcheck.Test.slice(1));
      assert.equal(code, 0, output);
    });

    test('signs somebody in and has the app make the account', async () => {
      const page = await signIn(peer, usher, person, 'ann', '/docs/start');
      assert.equal(page.status, 200, page.text.slice(0, 500));
      assert.equal(page.json.headers['x-forwarded-email'], 'ann@acme.example');
      assert.equal(app.eventsOf('ann@acme.example', 'user.created').length, 1);
      assert.equal(page.json.headers['x-forwarded-account'], app.accounts.get(page.json.headers['x-forwarded-user']));
    });

    test('ends what is under way when it is told to end', async () => {
      const under = person.fetch(`${usher.origin}/slow`);
      await sleep(500);
      const exit = container.child.kill('SIGTERM');
      const answer = await under;
      assert.equal(answer.status, 200);
      assert.equal(answer.text, 'begun, and ended');
      assert.deepEqual(await exit, { code: 0, signal: null });
    });

    test('knows people again after a restart, by its volume alone', async () => {
      await container.start(ready);
      const page = await person.open(`${usher.origin}/docs/again`);
      assert.equal(page.status, 200);
      assert.equal(page.url, `${usher.origin}/docs/again`);
      assert.deepEqual(await container.child.kill('SIGTERM'), { code: 0, signal: null });
    });
  });
});
