// The admin pages in a real browser without JavaScript: each once, looked at, in light and dark, on a desk and on a phone.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { launchBrowser, picture, profile, wellMade } from './lib/browser.js';
import { keyPair } from './lib/key-pair.js';
import { OidcProvider } from './lib/oidc-provider.js';
import { work } from './lib/places.js';
import { freePort, sleep } from './lib/processes.js';
import { config } from './lib/suite.js';
import { Usher, webhookSecret } from './lib/usher.js';

describe('the admin pages in Chromium without JavaScript', { timeout: 300_000 }, () => {
  const app = new App({ secret: webhookSecret() });
  const peer = new OidcProvider();
  let usher;
  let admin;
  let browser;
  let context;

  before(async () => {
    await Promise.all([app.start(), peer.start()]);
    const port = await freePort();
    admin = `http://localhost:${port}`;
    const { certificate } = await keyPair(path.join(work, 'keys'), 'globex-idp', { days: 20 });
    const settings = config(peer, app);
    settings.identity_providers.push({
      id: 'globex',
      label: 'Globex',
      email_domains: ['globex.example'],
      saml: { sso_url: 'http://127.0.0.1:9/sso', entity_id: 'https://sso.globex.example/metadata', certificates: [certificate] },
    });
    settings.apps.push({ id: 'notes', path: '/notes', upstream: app.origin });
    settings.admin = { listen: `127.0.0.1:${port}`, public_url: admin, allow: { groups: { acme: ['admins'] } } };
    settings.local_accounts = { enabled: true };
    usher = await new Usher(settings, { name: 'admin' }).reserve();
    await peer.register([usher.origin, admin]);
    await usher.start();
    browser = await launchBrowser();
    for (const name of ['bob', 'erin', 'frank', 'grace']) {
      const visitor = await profile(browser);
      await signIn(await visitor.newPage(), usher.origin, '/', name);
      await visitor.close();
    }
    context = await profile(browser, { javaScriptEnabled: false });
  }, { timeout: 120_000 });

  after(async () => {
    await context?.close();
    await browser?.close();
    await usher?.stop();
    await Promise.all([peer.stop(), app.stop()]);
  });

  /** Signs in at an origin, up to the page that was wanted. */
  async function signIn(page, origin, to, name) {
    await page.goto(`${origin}/_usher/sign-in/acme?return_to=${encodeURIComponent(to)}`);
    if (page.url().startsWith(peer.origin)) {
      await page.fill('[name=login]', name);
      await page.fill('[name=password]', `${name}-password`);
      await page.click('button');
    }
    await page.waitForURL((url) => url.origin === origin);
  }

  /** A tab of the admin. */
  async function desk() {
    const page = await context.newPage();
    await signIn(page, admin, '/', 'ann');
    return page;
  }

  /** Facts that need no script of the page. */
  async function shown(page, name, answer, words, status = 200) {
    assert.equal(answer.status(), status, await page.locator('body').innerText());
    await picture(page, `admin-${name}`);
    if (words) assert.match(await page.locator('main').innerText(), words);
    await wellMade(page, answer);
    assert.deepEqual(context.problems, []);
  }

  /** Visits a page and looks at it. */
  async function visit(name, to, words, status) {
    const page = await desk();
    const answer = await page.goto(admin + to);
    await shown(page, name, answer, words, status);
    await page.close();
  }

  /** Presses a button and gives the answer of the page that comes. */
  async function press(page, button) {
    const answer = page.waitForResponse((one) => one.request().isNavigationRequest() && ![301, 302, 303].includes(one.status()));
    await page.click(button);
    const landed = await answer;
    await page.waitForLoadState();
    return landed;
  }

  async function personPage(page, name) {
    await page.goto(`${admin}/people?q=${name}`);
    return press(page, 'td a');
  }

  test('somebody who is no admin', async () => {
    const other = await profile(browser, { javaScriptEnabled: false });
    const page = await other.newPage();
    await signIn(page, admin, '/people', 'bob');
    const answer = await page.goto(`${admin}/people`);
    assert.equal(answer.status(), 403);
    await picture(page, 'admin-not-admin');
    await wellMade(page, answer);
    await other.close();
  });

  test('overview', () => visit('overview', '/', /Sign-ins[\s\S]*Identity providers/));
  test('people', () => visit('people', '/people', /Bob Baker[\s\S]*Grace Green/));
  test('people: nobody found', () => visit('people-none', '/people?q=nobody-has-that', /Nobody found/));

  test('a person whose group decides', async () => {
    const page = await desk();
    await shown(page, 'person-managed', await personPage(page, 'bob'), /Managed by the identity provider/);
    await page.close();
  });

  test('a person whose roles are set here', async () => {
    const page = await desk();
    await personPage(page, 'erin');
    await page.check('input[name=role][value=editor]');
    const answer = await press(page, '#roles button');
    await shown(page, 'person-roles', answer, /The roles are saved[\s\S]*by an admin/);
    await page.close();
  });

  test('a person who is deactivated', async () => {
    const page = await desk();
    await personPage(page, 'frank');
    await page.fill('#why', 'Left the company');
    const answer = await press(page, '#access button');
    await shown(page, 'person-deactivated', answer, /Deactivated[\s\S]*Left the company[\s\S]*Reactivate/);
    await page.close();
  });

  test('invitations: none yet', () => visit('invitations-none', '/invitations', /No open invitation/));
  test('invitations: the form', () => visit('invite', '/invitations/new', /One person[\s\S]*Many at once/));

  test('invitations: one person', async () => {
    const page = await desk();
    await page.goto(`${admin}/invitations/new`);
    await page.fill('#email', 'heidi@acme.example');
    await page.fill('#name', 'Heidi Hall');
    await page.check('input[name=grant][value="wiki:editor"]');
    const answer = await press(page, 'form[action="/invitations"] button');
    await shown(page, 'invited', answer, /heidi@acme\.example[\s\S]*\/_usher\/invitation\//);
    await page.close();
  });

  test('invitations: a table by file', async () => {
    const page = await desk();
    await page.goto(`${admin}/invitations/new`);
    const table = 'email,name,roles\nivan@acme.example,Ivan Ito,wiki:viewer\nnot an address,Nobody,\njudy@acme.example,Judy,wiki:owner\nkim@acme.example,Kim,notes wiki:editor\n';
    await page.setInputFiles('#file', { name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(table) });
    const answer = await press(page, 'form.bulk button');
    await shown(page, 'invited-many', answer, /2 invited, 2 not/);
    await page.close();
  });

  test('invitations: the list', () => visit('invitations', '/invitations', /heidi@acme\.example[\s\S]*open, ends/));
  test('identity providers', () => visit('idps', '/identity-providers', /Acme[\s\S]*Globex/));
  test('an OIDC identity provider', () => visit('idp-oidc', '/identity-providers/acme', /Redirect URIs[\s\S]*callback/));
  test('a SAML identity provider', () => visit('idp-saml', '/identity-providers/globex', /Entity ID[\s\S]*ACS/));

  test('a test sign-in that works', async () => {
    const page = await desk();
    await page.goto(`${admin}/identity-providers/acme`);
    const back = page.waitForResponse((one) => one.url().endsWith('/acme/test') && one.request().method() === 'GET' && one.status() === 200);
    // Without a script the page leads on by itself.
    await page.click('form[action$="/test"] button');
    const answer = await back;
    await page.waitForLoadState();
    await shown(page, 'test-run', answer, /Every check passed[\s\S]*engineering/);
    await page.close();
  });

  test('a test sign-in without a result', () => visit('test-run-none', '/identity-providers/globex/test', /No result/));

  test('a test sign-in that fails', async () => {
    const page = await desk();
    await peer.stop();
    // Whoever answered within the last second is taken to be there.
    await sleep(1500);
    try {
      await page.goto(`${admin}/identity-providers/acme`);
      const answer = await press(page, 'form[action$="/test"] button');
      await shown(page, 'test-run-failed', answer, /failed/);
    } finally {
      await peer.launch();
    }
    await page.close();
  });

  test('an identity provider is switched off and on', async () => {
    const page = await desk();
    await page.goto(`${admin}/identity-providers/globex`);
    const answer = await press(page, 'form[action$="/switch"] button');
    await shown(page, 'idp-off', answer, /sign-in is off[\s\S]*Switch on/);
    await press(page, 'form[action$="/switch"] button');
    await page.close();
  });

  test('the role tester', () => visit('roles', '/roles?idp=acme&groups=engineering%0Aunknown', /editor[\s\S]*unknown/));
  test('the role tester before', () => visit('roles-none', '/roles', /Nothing tested yet/));
  test('the audit log', () => visit('audit', '/audit', /Left the company/));
  test('the audit log: nothing found', () => visit('audit-none', '/audit?actor=token:nobody', /Nothing found/));

  test('the audit log as a file', async () => {
    const page = await desk();
    await page.goto(`${admin}/audit?action=user`);
    const [file] = await Promise.all([page.waitForEvent('download'), page.click('a[href^="/audit.csv"]')]);
    assert.equal(file.suggestedFilename(), 'audit.csv');
    await page.close();
  });

  test('a page that is not there', () => visit('not-found', '/nothing', /There is nothing here/, 404));

  test('the keyboard alone leads to every page', async () => {
    const page = await desk();
    await page.goto(`${admin}/`);
    const seen = [];
    for (let presses = 0; presses < 9; presses += 1) {
      await page.keyboard.press('Tab');
      seen.push(await page.locator(':focus').first().innerText());
    }
    for (const label of ['People', 'Invitations', 'Identity providers', 'Role tester', 'Audit log', 'Sign out']) {
      assert.ok(seen.includes(label), `${label} among ${seen}`);
    }
    await page.close();
  });
});
