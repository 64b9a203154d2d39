// Debian's Chromium, headless, and pictures of what it shows.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { work } from './places.js';

export const screenshots = path.join(work, 'screenshots');

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

export async function launchBrowser() {
  await fs.mkdir(screenshots, { recursive: true });
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
}

/** A profile of its own whose pages report errors: a violated CSP, a script that failed. */
export async function profile(browser, options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, locale: 'en-GB', ...options });
  context.setDefaultTimeout(15_000);
  context.problems = [];
  context.on('console', (message) => {
    // The status of the document itself (401, 403, 503) is logged as an error too; that is what was asked for.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) context.problems.push(message.text());
  });
  context.on('weberror', (error) => context.problems.push(String(error.error())));
  return context;
}

/** Pictures of the page as it is now: light and dark, on a desk and on a phone. */
export async function picture(page, name) {
  for (const [place, viewport] of [['desktop', DESKTOP], ['phone', PHONE]]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: path.join(screenshots, `${name}-${place}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: 'light' });
}

/** What every page of usher's own must be for a person: readable, titled, safe. `response` is its navigation's answer. */
export async function wellMade(page, response) {
  const headers = response.headers();
  assert.match(headers['content-type'], /text\/html; ?charset=utf-8/i);
  assert.match(headers['cache-control'] ?? '', /no-store/);
  const policy = headers['content-security-policy'] ?? '';
  assert.match(policy, /default-src 'none'/, policy);
  assert.match(policy, /frame-ancestors 'none'/, policy);
  assert.doesNotMatch(policy, /unsafe/, policy);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  await page.setViewportSize(PHONE);
  const facts = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    title: document.title,
    headings: document.querySelectorAll('h1').length,
    main: document.querySelectorAll('main').length,
    viewport: document.querySelector('meta[name=viewport]')?.content,
    wide: document.documentElement.scrollWidth - window.innerWidth,
    unnamed: [...document.querySelectorAll('a,button')].filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label'))).length,
    unlabelled: [...document.querySelectorAll('input:not([type=hidden])')].filter((one) => !(one.labels?.length || one.getAttribute('aria-label'))).length,
    scripts: document.scripts.length,
  }));
  await page.setViewportSize(DESKTOP);
  assert.ok(facts.lang, 'html lang');
  assert.ok(facts.title, 'title');
  assert.equal(facts.headings, 1, 'one h1');
  assert.equal(facts.main, 1, 'one main');
  assert.match(facts.viewport ?? '', /width=device-width/);
  assert.ok(facts.wide <= 0, `${facts.wide} pixels too wide for a phone`);
  assert.equal(facts.unnamed, 0, 'a link or button without a name');
  assert.equal(facts.unlabelled, 0, 'a field without a label');
  assert.equal(facts.scripts, 0, 'a script');
}
