// The receivers of docs/callback in Python, Node, Go, PHP and Java: one contract for all, and once each behind a real usher.
// Needs Python 3.9, Go, php-cli with php-sqlite3, Java 17.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { Person, request } from './lib/http.js';
import { OidcProvider } from './lib/oidc-provider.js';
import { freePort, until } from './lib/processes.js';
import { RECEIVERS, Receiver, event, sign } from './lib/receivers.js';
import { config, signIn } from './lib/suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

const LANGUAGES = Object.keys(RECEIVERS);
const now = () => Math.floor(Date.now() / 1000);

for (const language of LANGUAGES) {
  describe(`the receiver in ${language}`, { timeout: 300_000 }, () => {
    const [newest, older, strange] = [webhookSecret(), webhookSecret(), webhookSecret()];
    let receiver;

    before(async () => {
      receiver = await new Receiver(language, { secrets: [newest, older], seats: 3 }).start();
    });
    after(() => receiver?.stop());

    /** Nothing of what is refused may leave an account: the next one tells by its number. */
    const mallory = event('created', 'mallory');
    async function refused(why, how) {
      const answer = await receiver.tell(mallory, how);
      assert.equal(answer.status, 401, `${why}: ${answer.status} ${answer.text}`);
    }

    test('takes nothing that is not signed by a secret that it knows', async () => {
      await refused('another secret', { secrets: [strange] });
      await refused('no signature', { signature: '' });
      const [id, at] = ['evt_mallory', now()];
      const good = sign(newest, id, at, JSON.stringify(mallory));
      await refused('half a signature', { id, at, signature: good.slice(0, 20) });
      await refused('a version without its signature', { id, at, signature: 'v1' });
      await refused('a signature without its version', { id, at, signature: good.slice(3) });
      await refused('a version that is not known', { id, at, signature: good.replace('v1', 'v2') });
      await refused('the signature of another id', { id: 'evt_other', at, signature: good });
      await refused('the signature of another time', { id, at: at - 1, signature: good });
      await refused('a signature that is no base64', { signature: 'v1,\u00ff%%%' });
      await refused('a body changed on the way', { tampered: (body) => body.replace('mallory@acme', 'mallory@evil') });
      await refused('a body with more behind it', { tampered: (body) => `${body} ` });
    });

    test('takes nothing from more than five minutes away', async () => {
      await refused('old', { at: now() - 310 });
      await refused('of the future', { at: now() + 310 });
      await refused('no time', { at: 'soon' });
      await refused('a time with more behind it', { at: `${now()}x` });
      await refused('a time beyond all numbers', { at: '9'.repeat(5000) });
    });

    test('takes no other path and no other method', async () => {
      assert.equal((await request(receiver.url.replace('users', 'others'), { method: 'POST', body: '{}' })).status, 404);
      // That is how `usher check` asks whether the address is there.
      assert.equal((await request(receiver.url, { method: 'OPTIONS' })).status, 405);
    });

    test('makes one account for one event, however often it is told', async () => {
      const id = 'evt_ann';
      const first = await receiver.tell(event('created', 'ann'), { id });
      assert.equal(first.status, 201, first.text);
      assert.deepEqual(first.json, { account: '1' });
      const later = await receiver.tell(event('created', 'ann'), { id, at: now() - 290 });
      assert.deepEqual([later.status, later.json], [201, { account: '1' }]);
      const all = await Promise.all(Array.from({ length: 8 }, () => receiver.tell(event('created', 'ben'), { id: 'evt_ben' })));
      assert.deepEqual(all.map(({ status, json }) => [status, json.account]), Array(8).fill([201, '2']));
    });

    test('remembers what it answered after a restart', async () => {
      await receiver.stop();
      await receiver.launch();
      const again = await receiver.tell(event('created', 'ann'), { id: 'evt_ann' });
      assert.deepEqual([again.status, again.json], [201, { account: '1' }]);
    });

    test('gives whom it knows the account that they have', async () => {
      const again = await receiver.tell(event('created', 'ann'));
      assert.deepEqual([again.status, again.json], [200, { account: '1' }]);
    });

    test('takes the older secret while the secrets are being changed, beside others or alone', async () => {
      for (const secrets of [[strange, newest], [strange, older], [older], [newest, older]]) {
        const answer = await receiver.tell(event('updated', 'ann'), { secrets });
        assert.deepEqual([answer.status, answer.json], [200, { account: '1' }]);
      }
    });

    test('refuses a blocked domain and whoever comes after the last seat, with a sentence for the page', async () => {
      const blocked = await receiver.tell(event('created', 'eve', { email: 'eve@blocked.example' }));
      assert.equal(blocked.status, 403);
      assert.equal(blocked.json.reason, 'blocked_domain');
      assert.match(blocked.json.user_message, /company's e-mail address/);
      assert.equal((await receiver.tell(event('created', 'cat'))).json.account, '3');
      const id = 'evt_dan';
      for (let time = 0; time < 2; time += 1) {
        const full = await receiver.tell(event('created', 'dan'), { id });
        assert.equal(full.status, 403);
        assert.equal(full.json.reason, 'no_seat');
        assert.match(full.json.user_message, /Ask Ann/);
      }
    });

    test('keeps what was changed', async () => {
      const changed = await receiver.tell(event('updated', 'ann', { email: 'ann.archer@acme.example', roles: ['admin'] }));
      assert.deepEqual([changed.status, changed.json], [200, { account: '1' }]);
      assert.ok(await receiver.remembers('ann.archer@acme.example'));
    });

    test('frees the seat of who is deactivated, and knows them when they come back', async () => {
      assert.equal((await receiver.tell(event('deactivated', 'ben'))).status, 200);
      // The same try that found no seat: a refusal is not for ever.
      assert.deepEqual((await receiver.tell(event('created', 'dan'), { id: 'evt_dan' })).json, { account: '4' });
      assert.equal((await receiver.tell(event('reactivated', 'ben'))).status, 403, 'no seat is left');
      assert.equal((await receiver.tell(event('deactivated', 'dan'))).status, 200);
      const back = await receiver.tell(event('reactivated', 'ben'));
      assert.deepEqual([back.status, back.json], [200, { account: '2' }]);
    });

    test('forgets who is deleted', async () => {
      assert.equal((await receiver.tell(event('deleted', 'cat'))).status, 200);
      assert.equal((await receiver.tell(event('deleted', 'nobody', { email: null, name: null, roles: [] }))).status, 200);
      const anew = await receiver.tell(event('created', 'cat'));
      assert.deepEqual([anew.status, anew.json], [201, { account: '5' }]);
    });

    test('lets pass what it has not heard of', async () => {
      assert.equal((await receiver.tell({ type: 'user.renamed', data: { user: { id: 'usr_x' } } })).status, 200);
    });
  });
}

describe('the receivers behind usher', { timeout: 300_000 }, () => {
  const token = 'interop-admin-token-0123456789-abcdef';
  const app = new App({ secret: webhookSecret() });
  const peer = new OidcProvider();
  const receivers = {};
  let usher;
  let adminPort;

  before(async () => {
    await Promise.all([app.start(), peer.start()]);
    for (const language of LANGUAGES) {
      receivers[language] = await new Receiver(language, { secrets: [webhookSecret()], seats: 1 }).start();
    }
    adminPort = await freePort();
    const { identity_providers: idps, apps: [wiki] } = config(peer, app);
    const apps = LANGUAGES.map((language) => {
      const { url, secrets } = receivers[language];
      return { ...wiki, id: language, path: `/${language}`, provisioning: { ...wiki.provisioning, callback: { url, secret: [...secrets, webhookSecret()] } } };
    });
    usher = await new Usher({ identity_providers: idps, apps, admin: { listen: `127.0.0.1:${adminPort}`, token } }, { name: 'receivers' }).reserve();
    await peer.register([usher.origin]);
    await usher.start();
  }, { timeout: 200_000 });

  after(async () => {
    await usher?.stop();
    await Promise.all(Object.values(receivers).map((one) => one.stop()));
    await Promise.all([peer.stop(), app.stop()]);
  });

  test('the account of each is in the app\'s headers, and a refusal\'s sentence on the page', async () => {
    const [bob, grace] = [new Person(), new Person()];
    await signIn(peer, usher, bob, 'bob', `/${LANGUAGES[0]}/start`);
    await signIn(peer, usher, grace, 'grace', `/${LANGUAGES[0]}/start`);
    for (const language of LANGUAGES) {
      const page = await bob.open(`${usher.origin}/${language}/start`);
      assert.equal(page.status, 200, `${language}: ${page.text.slice(0, 500)}`);
      assert.equal(page.json.headers['x-forwarded-account'], '1', language);
      const refused = await grace.open(`${usher.origin}/${language}/start`);
      assert.equal(refused.status, 403, language);
      assert.match(refused.text, /All seats are taken\. Ask Ann for one\./, language);
    }

    const headers = { authorization: `Bearer ${token}` };
    const found = await request(`http://127.0.0.1:${adminPort}/api/v1/users?q=bob`, { headers });
    const { id } = found.json.items[0];
    const done = await request(`http://127.0.0.1:${adminPort}/api/v1/users/${id}/deactivate`, { method: 'POST', json: { why: 'left' }, headers });
    assert.equal(done.status, 200, done.text);
    for (const language of LANGUAGES) {
      await until(`${language} has freed the seat`, async () => {
        const again = new Person();
        const page = await signIn(peer, usher, again, 'grace', `/${language}/start`);
        return page.status === 200 && page.json.headers['x-forwarded-account'] === '2';
      }, { within: 20_000, every: 500 });
    }
  });
});
