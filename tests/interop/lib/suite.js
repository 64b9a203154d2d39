// What usher promises about an IdP, told to each real peer in the same words.
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { App } from './app.js';
import { Person, request } from './http.js';
import { sleep, until } from './processes.js';
import { openEvents, openWebSocket } from './streams.js';
import { Usher, webhookSecret } from './usher.js';

const ROLES = { engineering: 'editor', admins: 'admin' };

/** The config of an app with roles and a callback behind one IdP. `oidc` adds to or replaces keys of that IdP. */
export function config(peer, app, oidc = {}) {
  return {
    identity_providers: [{
      id: 'acme',
      label: 'Acme',
      email_domains: ['acme.example'],
      oidc: {
        issuer: peer.issuer,
        client_id: peer.clientId,
        client_secret: peer.clientSecret,
        scopes: ['openid', 'email', 'profile'],
        ...oidc,
      },
      attributes: { email: 'email', name: 'name', groups: 'groups', username: 'preferred_username' },
    }],
    apps: [{
      id: 'wiki',
      upstream: app.origin,
      access: [
        { paths: ['/public/**'], methods: ['GET'], allow: 'anyone' },
        { paths: ['/admin/**'], allow: { roles: ['admin'] } },
        { allow: 'signed_in' },
      ],
      provisioning: {
        mode: 'jit',
        roles: ['viewer', 'editor', 'admin'],
        default_role: 'viewer',
        group_roles: { acme: ROLES },
        callback: { url: `${app.origin}/internal/users`, secret: app.secret },
      },
    }],
  };
}

/** Goes to a page of the app as somebody without a session there, through the IdP's own form; gives where it ends. */
export async function signIn(peer, usher, person, name, path = '/') {
  const page = await person.open(usher.origin + path);
  assert.ok(peer.isSignInPage(page), `the IdP's sign-in page, not ${page.status} ${page.url}\n${page.text.slice(0, 500)}`);
  return peer.submitSignIn(person, page, name);
}

/** What the app saw of this person in a request that a script of the page makes. */
async function seen(usher, person, path = '/echo') {
  const answer = await person.fetch(usher.origin + path, { headers: { accept: 'application/json' } });
  assert.equal(answer.status, 200, `${answer.status} ${answer.text.slice(0, 300)}`);
  return answer.json.headers;
}

function roles(headers) {
  return (headers['x-forwarded-roles'] ?? '').split(',').filter(Boolean);
}

async function verifiedJwt(usher, token) {
  const [head, body, signature] = token.split('.');
  const header = JSON.parse(Buffer.from(head, 'base64url'));
  assert.equal(header.alg, 'ES256');
  const { keys } = (await request(`${usher.origin}/_usher/jwks.json`)).json;
  const jwk = keys.find((key) => key.kid === header.kid);
  assert.ok(jwk, `no key ${header.kid} among ${keys.map((key) => key.kid)}`);
  assert.equal(jwk.d, undefined, 'the private key is published');
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const good = verify('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  assert.ok(good, 'the signature of X-Usher-Jwt');
  return JSON.parse(Buffer.from(body, 'base64url'));
}

/** Declares the suite of one peer. `variants` are further ways to reach it: `{ name, oidc: (peer) => keys }`. */
export function interop(title, makePeer, { variants = [] } = {}) {
  describe(title, { timeout: 800_000 }, () => {
    const app = new App({ secret: webhookSecret() });
    const peer = makePeer();
    let usher;
    let refreshing;
    let more;

    before(async () => {
      await Promise.all([app.start(), peer.start()]);
      usher = await new Usher(config(peer, app), { name: `${peer.name}-main` }).reserve();
      refreshing = await new Usher(config(peer, app, { refresh_every: '1s' }), { name: `${peer.name}-refresh` }).reserve();
      more = await Promise.all(variants.map(({ name, oidc }) => new Usher(config(peer, app, oidc(peer)), { name: `${peer.name}-${name.replaceAll(' ', '-')}` }).reserve()));
      const all = [usher, refreshing, ...more];
      await peer.register(all.map(({ origin }) => origin));
      await Promise.all(all.map((one) => one.start()));
    }, { timeout: 300_000 });

    after(async () => {
      const ended = await Promise.allSettled([usher, refreshing, ...more ?? []].filter(Boolean).map((one) => one.stop()));
      await Promise.allSettled([peer.stop(), app.stop()]);
      const failed = ended.find(({ status }) => status === 'rejected');
      if (failed) throw failed.reason;
      assert.deepEqual(app.problems, []);
    });

    test('a first sign-in creates the account once, and the app reads who it is', async () => {
      const person = new Person();
      const page = await signIn(peer, usher, person, 'ann', '/docs/start?chapter=2');
      assert.equal(page.status, 200, page.text.slice(0, 500));
      assert.equal(page.url, `${usher.origin}/docs/start?chapter=2`);
      const { headers, url } = page.json;
      assert.equal(url, '/docs/start?chapter=2');
      assert.equal(headers['x-forwarded-email'], 'ann@acme.example');
      assert.equal(headers['x-forwarded-preferred-username'], 'ann');
      assert.equal(headers['x-forwarded-name'], 'Ann Archer');
      assert.deepEqual(headers['x-forwarded-groups'].split(',').sort(), ['admins', 'engineering']);
      assert.deepEqual(roles(headers), ['editor', 'admin']);
      assert.match(headers['x-forwarded-user'], /^usr_/);
      assert.equal(headers.cookie?.includes('usher'), undefined, 'a cookie of usher reached the app');

      const created = app.eventsOf('ann@acme.example', 'user.created').filter(({ data }) => data.user.id === headers['x-forwarded-user']);
      assert.equal(created.length, 1);
      const [{ id, data }] = created;
      assert.match(id, /^evt_/);
      assert.equal(headers['x-forwarded-account'], app.accounts.get(data.user.id));
      assert.equal(data.app, 'wiki');
      assert.deepEqual(data.user.roles, ['editor', 'admin']);
      assert.equal(data.user.active, true);
      assert.equal(data.user.email_verified, true);
      assert.equal(data.identity.idp, 'acme');
      assert.equal(data.identity.protocol, 'oidc');
      assert.equal(data.identity.issuer, peer.issuer);
      assert.ok(data.identity.subject);
    });

    test('the signed header verifies and says the same', async () => {
      const person = new Person();
      await signIn(peer, usher, person, 'ann');
      const headers = await seen(usher, person);
      const claims = await verifiedJwt(usher, headers['x-usher-jwt']);
      assert.equal(claims.iss, usher.origin);
      assert.equal(claims.aud, 'wiki');
      assert.equal(claims.sub, headers['x-forwarded-user']);
      assert.equal(claims.email, 'ann@acme.example');
      assert.equal(claims.email_verified, true);
      assert.deepEqual(claims.roles, ['editor', 'admin']);
      assert.equal(claims.account, headers['x-forwarded-account']);
      assert.equal(claims.idp, 'acme');
      assert.ok(claims.exp - claims.iat <= 300, 'longer than 5 minutes');
      assert.ok(claims.exp > Date.now() / 1000);
      assert.ok(claims.sid && claims.jti);
      const cookies = person.jar.for(usher.origin).map(({ value }) => value);
      assert.ok(!cookies.includes(claims.sid), 'sid is the session cookie');
    });

    test('/_usher/me agrees with the app', async () => {
      const person = new Person();
      await signIn(peer, usher, person, 'ann');
      const headers = await seen(usher, person);
      const me = (await person.fetch(`${usher.origin}/_usher/me`)).json;
      assert.equal(me.user.id, headers['x-forwarded-user']);
      assert.equal(me.user.email, 'ann@acme.example');
      assert.equal(me.app, 'wiki');
      assert.deepEqual(me.roles, ['editor', 'admin']);
      assert.equal(me.idp, 'acme');
      assert.ok(Date.parse(me.expires_at) > Date.now());
      assert.equal((await request(`${usher.origin}/_usher/me`)).status, 401);
    });

    test('a script without a session gets 401 JSON and no redirect; a public path needs no session', async () => {
      const answer = await request(`${usher.origin}/api/data`, { headers: { accept: 'application/json' } });
      assert.equal(answer.status, 401);
      assert.equal(answer.headers.location, undefined);
      assert.ok(answer.json.error && answer.json.message && answer.json.request_id, answer.text);
      const open = await request(`${usher.origin}/public/page`, { headers: { 'x-forwarded-user': 'mallory', 'X-Forwarded_Email': 'mallory@acme.example' } });
      assert.equal(open.status, 200);
      assert.equal(open.json.headers['x-forwarded-user'], undefined);
      assert.equal(open.json.headers['x-forwarded_email'], undefined);
    });

    test('somebody without a group gets the default role and is refused where another is needed', async () => {
      const person = new Person();
      const page = await signIn(peer, usher, person, 'erin');
      assert.equal(page.status, 200, page.text.slice(0, 500));
      assert.deepEqual(roles(page.json.headers), ['viewer']);
      assert.equal(page.json.headers['x-forwarded-groups'] ?? '', '');
      const before = app.requests.length;
      const refused = await person.open(`${usher.origin}/admin`, { from: 'same-origin' });
      assert.equal(refused.status, 403);
      assert.match(refused.headers['content-type'], /text\/html/);
      assert.match(refused.headers['cache-control'], /no-store/);
      assert.equal(app.requests.length, before, 'the refused request reached the app');
    });

    test('a name outside ASCII arrives encoded', async () => {
      const person = new Person();
      const page = await signIn(peer, usher, person, 'frank');
      assert.equal(page.status, 200, page.text.slice(0, 500));
      assert.equal(decodeURIComponent(page.json.headers['x-forwarded-name'].replace(/^UTF-8''/, '')), 'Frank Förster');
      const claims = await verifiedJwt(usher, page.json.headers['x-usher-jwt']);
      assert.equal(claims.name, 'Frank Förster');
    });

    test('a changed group is a changed role at the next sign-in, and the app is told', async () => {
      const first = new Person();
      const page = await signIn(peer, usher, first, 'bob');
      assert.deepEqual(roles(page.json.headers), ['editor']);
      const id = page.json.headers['x-forwarded-user'];
      await peer.setGroups('bob', ['admins']);
      const second = new Person();
      const again = await signIn(peer, usher, second, 'bob');
      assert.equal(again.json.headers['x-forwarded-user'], id);
      assert.deepEqual(roles(again.json.headers), ['admin']);
      assert.equal((await second.open(`${usher.origin}/admin`)).status, 200);
      const mine = app.eventsOf('bob@acme.example').filter(({ data }) => data.user.id === id);
      assert.deepEqual(mine.map(({ type }) => type), ['user.created', 'user.updated']);
      assert.deepEqual(mine[1].data.user.roles, ['admin']);
      assert.equal(mine[1].data.account, again.json.headers['x-forwarded-account']);
      assert.notDeepEqual(mine[1].data.previous, {}, 'previous says what changed');
      await peer.setGroups('bob', ['engineering']);
    });

    test('an unverified e-mail is refused with a page of its own, and no account is made', async () => {
      const person = new Person();
      const page = await signIn(peer, usher, person, 'carol');
      assert.equal(page.status, 403, page.text.slice(0, 300));
      assert.ok(page.url.startsWith(usher.origin), page.url);
      assert.equal(app.eventsOf('carol@acme.example').length, 0);
      assert.equal((await person.fetch(`${usher.origin}/echo`)).status, 401);
    });

    test('a disabled user cannot sign in', async () => {
      const person = new Person();
      const page = await signIn(peer, usher, person, 'dave');
      assert.ok(page.url.startsWith(peer.origin), `still at the IdP, not ${page.url}`);
      assert.equal((await person.fetch(`${usher.origin}/echo`)).status, 401);
      assert.equal(app.eventsOf('dave@acme.example').length, 0);
    });

    test('several tabs that start at once all arrive where they began', async () => {
      const person = new Person();
      const atIdp = (url) => url.startsWith(peer.origin);
      const starts = [];
      for (const path of ['/tab/1', '/tab/2', '/tab/3']) starts.push((await person.open(usher.origin + path, { stopAt: atIdp })).next);
      const form = await person.open(starts[0]);
      const one = await peer.submitSignIn(person, form, 'ann');
      assert.equal(one.url, `${usher.origin}/tab/1`);
      for (const [index, path] of [[1, '/tab/2'], [2, '/tab/3']]) {
        const page = await person.open(starts[index]);
        assert.equal(page.status, 200, page.text.slice(0, 300));
        assert.equal(page.url, usher.origin + path);
      }
    });

    test('50 first sign-ins of one user at once make one account and 50 sessions', { timeout: 180_000 }, async () => {
      app.callbackDelay = 100;
      const agent = new http.Agent({ keepAlive: true, maxSockets: 50 });
      const people = Array.from({ length: 50 }, () => new Person({ agent }));
      try {
        const forms = await Promise.all(people.map((person) => person.open(`${usher.origin}/`)));
        const pages = await Promise.all(people.map((person, index) => peer.submitSignIn(person, forms[index], 'grace')));
        assert.deepEqual([...new Set(pages.map(({ status }) => status))], [200], pages.find(({ status }) => status !== 200)?.text.slice(0, 500));
        assert.equal(new Set(pages.map((page) => page.json.headers['x-forwarded-user'])).size, 1);
        const created = app.eventsOf('grace@acme.example', 'user.created');
        assert.equal(created.length, 1, `${created.length} user.created: ${created.map(({ id }) => id)}`);
        const account = app.accounts.get(created[0].data.user.id);
        const after = await Promise.all(people.map((person) => seen(usher, person)));
        assert.deepEqual([...new Set(after.map((headers) => headers['x-forwarded-account']))], [account]);
        const sessions = new Set(people.map((person) => person.jar.header(usher.origin)));
        assert.equal(sessions.size, 50);
      } finally {
        app.callbackDelay = 0;
        agent.destroy();
      }
    });

    test('with refresh_every a changed group arrives without a new sign-in', async () => {
      const person = new Person();
      const page = await signIn(peer, refreshing, person, 'bob');
      assert.deepEqual(roles(page.json.headers), ['editor']);
      await peer.setGroups('bob', ['engineering', 'admins']);
      const now = await until('the new role', async () => {
        const held = roles(await seen(refreshing, person));
        return held.includes('admin') && held;
      }, { within: 8000, every: 200 });
      assert.deepEqual(now, ['editor', 'admin']);
      await peer.setGroups('bob', ['engineering']);
      await until('the role goes again', async () => !roles(await seen(refreshing, person)).includes('admin'), { within: 8000, every: 200 });
    });

    test('many requests at once while refresh tokens rotate lose no session', async () => {
      const person = new Person();
      await signIn(peer, refreshing, person, 'ann');
      const deadline = Date.now() + 4000;
      while (Date.now() < deadline) {
        const answers = await Promise.all(Array.from({ length: 10 }, () => person.fetch(`${refreshing.origin}/echo`)));
        assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
        await sleep(100);
      }
    });

    test('with refresh_every a disabled user loses the session', async () => {
      const person = new Person();
      await signIn(peer, refreshing, person, 'erin');
      await seen(refreshing, person);
      await peer.setEnabled('erin', false);
      try {
        await until('the session ends', async () => (await person.fetch(`${refreshing.origin}/echo`)).status === 401, { within: 8000, every: 200 });
      } finally {
        await peer.setEnabled('erin', true);
      }
    });

    test('sign-out ends the session here and at the IdP', async () => {
      const person = new Person();
      await signIn(peer, usher, person, 'frank');
      const cookie = person.jar.header(usher.origin);
      const before = await peer.sessionsOf?.('frank');
      let page = await person.open(`${usher.origin}/_usher/sign-out`, { from: 'same-origin' });
      if (peer.isSignOutQuestion(page) && peer.answerSignOutQuestion) page = await peer.answerSignOutQuestion(person, page);
      assert.ok(page.url.startsWith(usher.origin), `back at usher, not ${page.url} ${page.status}\n${page.text.slice(0, 500)}`);
      assert.equal((await person.fetch(`${usher.origin}/_usher/me`)).status, 401);
      const replayed = await request(`${usher.origin}/echo`, { headers: { cookie } });
      assert.equal(replayed.status, 401, 'the old cookie still works');
      if (before !== undefined) assert.equal(await peer.sessionsOf('frank'), before - 1);
      const again = await person.open(`${usher.origin}/`);
      assert.ok(peer.isSignInPage(again), `the IdP asks for the password again, not ${again.url}`);
    });

    test('a WebSocket and an event stream end within a second of the sign-out', async () => {
      const person = new Person();
      await signIn(peer, usher, person, 'ann');
      const socket = await openWebSocket(person, `${usher.origin}/ws`);
      const events = await openEvents(person, `${usher.origin}/sse`);
      assert.equal(socket.status, 101);
      assert.equal(events.status, 200);
      assert.equal(await socket.echo('hello'), 'hello');
      await events.more();
      const bystander = new Person();
      await signIn(peer, usher, bystander, 'ann');
      const untouched = await openWebSocket(bystander, `${usher.origin}/ws`);
      const started = Date.now();
      await person.open(`${usher.origin}/_usher/sign-out`, { from: 'same-origin', stopAt: (url) => url.startsWith(peer.origin) });
      const closed = await Promise.all([socket, events].map((stream) => Promise.race([stream.closed, sleep(3000, Infinity)])));
      for (const [index, kind] of ['WebSocket', 'event stream'].entries()) {
        assert.ok(closed[index] - started < 1000, `the ${kind} ended after ${closed[index] - started} ms`);
      }
      assert.equal(await untouched.echo('still here'), 'still here', 'another session was cut too');
      untouched.destroy();
      await until('the app sees both end', () => [...app.streams].slice(0, 2).every((stream) => stream.closed), { within: 1000 });
      const refused = await openWebSocket(person, `${usher.origin}/ws`);
      assert.equal(refused.status, 401);
      refused.destroy();
    });

    for (const [index, { name }] of variants.entries()) {
      test(`signs in with ${name}`, async () => {
        const person = new Person();
        const page = await signInAnyWay(peer, more[index], person, 'ann');
        assert.equal(page.status, 200, page.text.slice(0, 500));
        assert.equal(page.json.headers['x-forwarded-email'], 'ann@acme.example');
      });
    }

    test('killed and started again, every session works', async () => {
      const people = [new Person(), new Person()];
      await signIn(peer, usher, people[0], 'ann');
      await signIn(peer, usher, people[1], 'bob');
      const before = await Promise.all(people.map((person) => seen(usher, person)));
      const load = people.map((person) => (async () => {
        for (let count = 0; count < 500; count += 1) await person.fetch(`${usher.origin}/echo`);
      })().catch(() => {}));
      await sleep(100);
      await usher.kill9();
      await Promise.all(load);
      await usher.launch();
      const after = await Promise.all(people.map((person) => seen(usher, person)));
      assert.deepEqual(after.map((headers) => headers['x-forwarded-user']), before.map((headers) => headers['x-forwarded-user']));
      const claims = await verifiedJwt(usher, after[0]['x-usher-jwt']);
      assert.equal(claims.sub, after[0]['x-forwarded-user']);
    });

    test('with the IdP stopped sessions go on, and a new sign-in gets the page within 3 s', async () => {
      const person = new Person();
      await signIn(peer, usher, person, 'ann');
      await peer.stop();
      await seen(usher, person);
      await quickRefusal(peer, usher);
      // After a restart nothing of the IdP's metadata is in memory.
      await usher.kill9();
      await usher.launch();
      await seen(usher, person);
      await quickRefusal(peer, usher);
      await peer.launch();
      const newcomer = new Person();
      await until('sign-in works again', async () => (await signIn(peer, usher, newcomer, 'bob')).status === 200, { within: 20_000, every: 1000 });
    });
  });
}

/** A sign-in where the IdP may answer with a form that posts itself (response_mode form_post). */
async function signInAnyWay(peer, usher, person, name) {
  let page = await signIn(peer, usher, person, name);
  if (page.url.startsWith(peer.origin) && /<form[^>]+method="?post/i.test(page.text)) {
    page = await person.submit(page, {}, { action: usher.origin });
  }
  // The same-site hop of a POST callback may be a page with one form or link instead of a redirect.
  if (/<meta[^>]+http-equiv="?refresh/i.test(page.text)) {
    const next = /url=([^"'>]+)/i.exec(page.text)[1].replaceAll('&amp;', '&');
    page = await person.open(new URL(next, page.url).href, { from: 'same-origin' });
  }
  return page;
}

/** usher looks at an IdP once in a few seconds at most; until then the browser may still be sent to the dead one. */
async function quickRefusal(peer, usher) {
  const page = await until('the page', async () => {
    const started = Date.now();
    const answer = await new Person().open(`${usher.origin}/_usher/sign-in/acme?return_to=/`, { stopAt: (url) => url.startsWith(peer.origin) });
    assert.ok(Date.now() - started < 3000, `the answer came after ${Date.now() - started} ms`);
    return answer.status !== 302 && answer;
  }, { within: 7000, every: 500 });
  assert.equal(page.status, 503);
  assert.match(page.headers['content-type'], /text\/html/);
}
