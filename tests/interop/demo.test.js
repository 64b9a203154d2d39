// A newcomer's way: `usher demo` in a real browser.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launchBrowser, picture, profile, wellMade } from './lib/browser.js';
import { request } from './lib/http.js';
import { usherBinary } from './lib/places.js';
import { Child, run, until } from './lib/processes.js';

const ORIGIN = 'http://localhost:4180';

describe('usher demo in Chromium', () => {
  let demo;
  let browser;

  before(async () => {
    demo = new Child('demo', usherBinary, ['demo']);
    await until('the demo answers', async () => {
      demo.mustRun();
      return (await request(`${ORIGIN}/_usher/me`, { timeout: 1000 })).status === 401;
    }, { within: 15_000 });
    browser = await launchBrowser();
  });

  after(async () => {
    await browser?.close();
    await demo.kill();
  });

  async function choose(page, name) {
    const button = page.locator(`button[value="${name.toLowerCase()}"]`).or(page.getByRole('button', { name })).first();
    await button.click();
    await page.waitForURL((url) => url.origin === ORIGIN && !url.pathname.startsWith('/_usher/oidc'));
  }

  async function signedIn(name, options) {
    const context = await profile(browser, options);
    const page = await context.newPage();
    await page.goto(`${ORIGIN}/`);
    await choose(page, name);
    return { context, page };
  }

  test('prints where to go and whom to be', () => {
    assert.match(demo.output, /http:\/\/localhost:4180/);
    assert.match(demo.output, /alice/i);
    assert.match(demo.output, /bob/i);
  });

  test('a person signs in and the app greets them by name with their role', async () => {
    const context = await profile(browser);
    const page = await context.newPage();
    await page.goto(`${ORIGIN}/`);
    await picture(page, 'demo-1-idp');
    await choose(page, 'Alice');
    await page.waitForFunction(() => /\d/.test(document.getElementById('clock').textContent));
    await picture(page, 'demo-2-app');
    assert.match(await page.getByRole('heading', { level: 1 }).innerText(), /Alice/);
    const text = await page.locator('main').innerText();
    assert.match(text, /editor/);
    assert.match(text, /Signature verified/);
    assert.match(text, /No\. 1/, 'the account that the callback created');
    assert.deepEqual(context.problems, []);
    const cookies = (await context.cookies(ORIGIN)).filter(({ name }) => /usher/.test(name));
    assert.ok(cookies.length >= 1);
    for (const cookie of cookies) assert.ok(cookie.httpOnly, `${cookie.name} is readable by scripts`);
    await context.close();
  });

  test('two tabs that began at once both arrive', async () => {
    const context = await profile(browser);
    const [one, two] = [await context.newPage(), await context.newPage()];
    await Promise.all([one.goto(`${ORIGIN}/?tab=1`), two.goto(`${ORIGIN}/?tab=2`)]);
    await choose(one, 'Alice');
    await choose(two, 'Alice');
    assert.equal(one.url(), `${ORIGIN}/?tab=1`);
    assert.equal(two.url(), `${ORIGIN}/?tab=2`);
    for (const page of [one, two]) {
      await page.reload();
      assert.match(await page.locator('body').innerText(), /alice/i);
    }
    assert.deepEqual(context.problems, []);
    await context.close();
  });

  test('who lacks the role is refused with a page that says so', async () => {
    const { context, page } = await signedIn('Alice');
    const answer = await page.goto(`${ORIGIN}/admin`);
    assert.equal(answer.status(), 403);
    await picture(page, 'demo-3-refused');
    await wellMade(page, answer);
    assert.deepEqual(context.problems, []);
    await context.close();
  });

  test('who has the role may', async () => {
    const { context, page } = await signedIn('Bob');
    const answer = await page.goto(`${ORIGIN}/admin`);
    assert.equal(answer.status(), 200);
    await picture(page, 'demo-4-admin');
    await context.close();
  });

  test('the app\'s own link signs out, and the next visit asks who one is', async () => {
    const { context, page } = await signedIn('Alice');
    const link = page.locator('a[href*="/_usher/sign-out"], form[action*="/_usher/sign-out"] button').first();
    await link.click();
    await page.waitForLoadState();
    await picture(page, 'demo-5-signed-out');
    const me = await context.request.get(`${ORIGIN}/_usher/me`);
    assert.equal(me.status(), 401);
    await page.goto(`${ORIGIN}/`);
    assert.notEqual(new URL(page.url()).origin, ORIGIN, 'the IdP asks again');
    assert.deepEqual(context.problems, []);
    await context.close();
  });

  test('signing out in one tab ends the live stream of another within a second', async () => {
    const { context, page } = await signedIn('Alice');
    const other = await context.newPage();
    await other.goto(`${ORIGIN}/`);
    await other.waitForFunction(() => /\d/.test(document.getElementById('clock').textContent));
    const ended = other.waitForFunction(() => document.getElementById('clock').textContent === 'ended', undefined, { timeout: 5000, polling: 20 });
    const started = Date.now();
    await page.locator('a[href*="/_usher/sign-out"]').first().click({ noWaitAfter: true });
    await ended;
    assert.ok(Date.now() - started < 1500, `it ended ${Date.now() - started} ms after the click`);
    await context.close();
  });

  test('all of it works without JavaScript', async () => {
    const { context, page } = await signedIn('Alice', { javaScriptEnabled: false });
    assert.match(await page.locator('body').innerText(), /alice/i);
    await context.close();
  });

  test('demo --check signs in by itself', { timeout: 60_000 }, async () => {
    // On ports of its own, beside the running demo.
    await run(usherBinary, ['demo', '--check']);
  });
});
