// usher's own pages in a real browser: each once, looked at, in light and dark, on a desk and on a phone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { launchBrowser, picture, profile, wellMade } from './lib/browser.js';
import { OidcProvider } from './lib/oidc-provider.js';
import { config } from './lib/suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

describe('the pages in Chromium', () => {
  const app = new App({ secret: webhookSecret() });
  const peer = new OidcProvider();
  let usher;
  let browser;

  before(async () => {
    await Promise.all([app.start(), peer.start()]);
    const settings = config(peer, app);
    settings.local_accounts = { enabled: true };
    settings.identity_providers.push({
      id: 'globex',
      label: 'Globex',
      email_domains: ['globex.example'],
      oidc: { issuer: 'http://127.0.0.1:9', client_id: 'usher', client_secret: 'never-sent-client-secret' },
    });
    usher = await new Usher(settings, { name: 'pages' }).reserve();
    await peer.register([usher.origin]);
    await usher.start();
    browser = await launchBrowser();
  });

  after(async () => {
    await browser?.close();
    await usher?.stop();
    await Promise.all([peer.stop(), app.stop()]);
  });

  /** Signs in up to the page that comes back from the callback; gives its answer. */
  async function signIn(page, name, path = '/') {
    await page.goto(`${usher.origin}/_usher/sign-in/acme?return_to=${encodeURIComponent(path)}`);
    await page.fill('[name=login]', name);
    await page.fill('[name=password]', `${name}-password`);
    const back = page.waitForResponse((answer) => answer.url().startsWith(usher.origin) && answer.request().isNavigationRequest() && ![301, 302, 303, 307].includes(answer.status()), { timeout: 20_000 });
    await page.click('button');
    const answer = await back;
    await page.waitForLoadState();
    return answer;
  }

  async function shown(name, visit, status, words) {
    const context = await profile(browser);
    try {
      const page = await context.newPage();
      const answer = await visit(page, context);
      assert.equal(answer.status(), status, await page.locator('body').innerText());
      await picture(page, `page-${name}`);
      if (words) assert.match(await page.locator('main').innerText(), words);
      await wellMade(page, answer);
      assert.deepEqual(context.problems, []);
    } finally {
      await context.close();
    }
  }

  test('sign-in: a button for each IdP', () => shown('sign-in', (page) => page.goto(`${usher.origin}/_usher/sign-in?return_to=/`), 200, /Acme[\s\S]*Globex/));

  test('sign-in by password: the form, and after a wrong try', async () => {
    const form = `${usher.origin}/_usher/sign-in/local?return_to=/`;
    await shown('local', (page) => page.goto(form), 200, /E-mail[\s\S]*Code/);
    await shown('local-wrong', async (page) => {
      await page.goto(form);
      await page.fill('[name=user]', 'ann@x.example');
      await page.fill('[name=password]', 'wrong');
      await page.fill('[name=totp]', '123456');
      const back = page.waitForResponse((answer) => answer.request().method() === 'POST');
      await page.click('main button');
      return back;
    }, 422, /did not work/);
  });

  test('invitation: to sign in, to set a password, and for emergencies', async () => {
    const invite = (...words) => usher.run('invite', '--app', 'wiki', ...words);
    const plain = await invite('--email', 'nora@acme.example', '--name', 'Nora Norton');
    await shown('invitation', (page) => page.goto(plain), 200, /Hello Nora Norton[\s\S]*nora@acme\.example[\s\S]*Acme/);
    const password = await invite('--email', 'zoe@acme.example', '--password');
    await shown('invitation-password', (page) => page.goto(password), 200, /Choose a password[\s\S]*authenticator app/);
    const emergency = await invite('--email', 'root@corp.example', '--break-glass');
    await shown('invitation-break-glass', (page) => page.goto(emergency), 200, /emergencies/);
    await shown('invitation-unknown', (page) => page.goto(`${usher.origin}/_usher/invitation/abc`), 404, /not valid/);
  });

  test('sign-in: a navigation to the app comes here, and the keyboard alone is enough', async () => {
    const context = await profile(browser);
    const page = await context.newPage();
    await page.goto(`${usher.origin}/docs?x=1`);
    assert.match(page.url(), /\/_usher\/sign-in/);
    for (let presses = 0; presses < 10; presses += 1) {
      await page.keyboard.press('Tab');
      if (/Acme/.test(await page.evaluate(() => document.activeElement?.textContent ?? ''))) break;
    }
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.origin === peer.origin);
    await page.fill('[name=login]', 'ann');
    await page.fill('[name=password]', 'ann-password');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${usher.origin}/docs?x=1`);
    assert.deepEqual(context.problems, []);
    await context.close();
  });

  test('sign-in: the e-mail finds the IdP', async () => {
    const context = await profile(browser);
    const page = await context.newPage();
    await page.goto(`${usher.origin}/_usher/sign-in?return_to=/`);
    await page.locator('input[type=email], input[name=email]').first().fill('ann@acme.example');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.origin === peer.origin);
    assert.deepEqual(context.problems, []);
    await context.close();
  });

  test('the IdP is down', () => shown('idp-down', (page) => page.goto(`${usher.origin}/_usher/sign-in/globex?return_to=/`), 503));

  test('the sign-in expired or was used', () => shown('expired', (page) => page.goto(`${usher.origin}/_usher/oidc/acme/callback?code=x&state=y&iss=${encodeURIComponent(peer.issuer)}`), 400));

  test('the IdP says no', () => shown('idp-refused', async (page, context) => {
    await page.goto(`${usher.origin}/_usher/sign-in/acme?return_to=/`);
    const state = await stateOf(context, page);
    return page.goto(`${usher.origin}/_usher/oidc/acme/callback?error=access_denied&state=${state}&iss=${encodeURIComponent(peer.issuer)}`);
  }, 403));

  /** The state of the attempt that began last in this browser. */
  async function stateOf(_, page) {
    const [begun] = await Promise.all([
      page.waitForRequest((request) => request.url().startsWith(peer.origin) && request.url().includes('state=')),
      page.goto(`${usher.origin}/_usher/sign-in/acme?return_to=/`),
    ]);
    return new URL(begun.url()).searchParams.get('state');
  }

  test('an e-mail that is not verified', () => shown('unverified-email', (page) => signIn(page, 'carol'), 403));

  test('no role for this path', () => shown('refused', async (page) => {
    await signIn(page, 'erin');
    return page.goto(`${usher.origin}/admin`);
  }, 403));

  test('the app has no seat, in the app\'s own words', () => shown('no-seat', async (page) => {
    app.onEvent = () => ({ status: 403, body: { reason: 'no_seat', user_message: 'Ask Ann for a seat <b>soon</b>.' } });
    try {
      return await signIn(page, 'frank');
    } finally {
      app.onEvent = undefined;
    }
  }, 403, /Ask Ann for a seat <b>soon<\/b>\./));

  test('the app\'s callback gives a final error', () => shown('callback-error', async (page) => {
    app.onEvent = () => ({ status: 418, body: {} });
    try {
      return await signIn(page, 'bob');
    } finally {
      app.onEvent = undefined;
    }
  }, 502));

  test('the app\'s callback is down', { timeout: 60_000 }, () => shown('callback-down', async (page) => {
    app.onEvent = () => ({ status: 503, body: {} });
    try {
      return await signIn(page, 'grace');
    } finally {
      app.onEvent = undefined;
    }
  }, 503));

  test('nothing of usher\'s is at this path', () => shown('not-found', (page) => page.goto(`${usher.origin}/_usher/nothing-here`), 404));

  test('a sign-out that another site began asks first', () => shown('sign-out-question', async (page) => {
    await signIn(page, 'ann');
    await page.goto(`${peer.origin}/.well-known/openid-configuration`);
    const answer = page.waitForResponse((one) => one.url().includes('/_usher/sign-out'));
    await page.evaluate((to) => {
      window.location.href = to;
    }, `${usher.origin}/_usher/sign-out`);
    const question = await answer;
    await page.waitForLoadState();
    const me = await page.context().request.get(`${usher.origin}/_usher/me`);
    assert.equal(me.status(), 200, 'the session ended without a question');
    return question;
  }, 200));

  test('signed out', () => shown('signed-out', async (page) => {
    await signIn(page, 'ann');
    await page.goto(`${usher.origin}/_usher/sign-out`);
    if (page.url().startsWith(peer.origin)) {
      const back = page.waitForResponse((one) => one.url().startsWith(usher.origin) && one.request().isNavigationRequest() && one.status() === 200);
      await page.click('button[name=logout]');
      const answer = await back;
      await page.waitForLoadState();
      return answer;
    }
    return page.reload();
  }, 200, /signed out/i));
});
