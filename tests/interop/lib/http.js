// A small HTTP client and a person's browser without JavaScript: cookies, redirects, forms.
import http from 'node:http';
import https from 'node:https';

class Answer {
  constructor(url, status, headers, text) {
    Object.assign(this, { url, status, headers, text });
  }

  get json() {
    try {
      return JSON.parse(this.text);
    } catch {
      throw new Error(`no JSON from ${this.url} (${this.status}): ${this.text.slice(0, 300)}`);
    }
  }
}

/** One exchange, no redirect followed. `localhost` goes to 127.0.0.1, as the servers here listen there alone. */
export function request(url, { method = 'GET', headers = {}, body, form, json, agent, timeout = 30_000, insecure = true } = {}) {
  const target = new URL(url);
  const all = { ...headers };
  let payload = body;
  if (form) {
    payload = new URLSearchParams(form).toString();
    all['content-type'] = 'application/x-www-form-urlencoded';
  } else if (json !== undefined) {
    payload = JSON.stringify(json);
    all['content-type'] = 'application/json';
  }
  if (payload !== undefined) all['content-length'] = Buffer.byteLength(payload);
  const secure = target.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const outgoing = (secure ? https : http).request({
      method,
      host: target.hostname === 'localhost' ? '127.0.0.1' : target.hostname,
      port: target.port || (secure ? 443 : 80),
      path: target.pathname + target.search,
      headers: { host: target.host, ...all },
      servername: secure ? target.hostname : undefined,
      rejectUnauthorized: !insecure,
      agent,
    }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve(new Answer(target.href, answer.statusCode, answer.headers, text));
      });
    });
    outgoing.setTimeout(timeout, () => outgoing.destroy(new Error(`${method} ${url}: no answer within ${timeout} ms`)));
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

/** Cookies by host and path, as browsers keep them: ports do not separate them. `localhost` counts as secure. */
export class CookieJar {
  #cookies = new Map();

  take(url, setCookies = []) {
    const { hostname, pathname } = new URL(url);
    for (const line of setCookies) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const at = pair.indexOf('=');
      const cookie = { name: pair.slice(0, at), value: pair.slice(at + 1), host: hostname, path: pathname.replace(/\/[^/]*$/, '') || '/', sameSite: '' };
      let ends;
      for (const attribute of attributes) {
        const [key, ...rest] = attribute.split('=');
        const value = rest.join('=');
        switch (key.toLowerCase()) {
          case 'path': cookie.path = value || '/'; break;
          case 'samesite': cookie.sameSite = value.toLowerCase(); break;
          case 'max-age': ends = Date.now() + Number(value) * 1000; break;
          case 'expires': ends ??= Date.parse(value); break;
          default: break;
        }
      }
      cookie.ends = ends;
      const key = `${cookie.host}|${cookie.path}|${cookie.name}`;
      if (ends !== undefined && ends <= Date.now()) this.#cookies.delete(key);
      else this.#cookies.set(key, cookie);
    }
  }

  /** The Cookie header of a request that `site` made: 'same', or 'cross' with or without a safe method of a navigation. */
  header(url, { site = 'same', safe = true } = {}) {
    const list = this.for(url).filter(({ sameSite }) => site === 'same' || (safe ? sameSite !== 'strict' : crossesSites(sameSite)))
      .map((cookie) => `${cookie.name}=${cookie.value}`);
    return list.length ? list.join('; ') : undefined;
  }

  for(url) {
    const { hostname, pathname } = new URL(url);
    return [...this.#cookies.values()].filter((cookie) => {
      if (cookie.host !== hostname) return false;
      if (cookie.ends !== undefined && cookie.ends <= Date.now()) return false;
      const folder = cookie.path.endsWith('/') ? cookie.path : `${cookie.path}/`;
      return cookie.path === pathname || pathname.startsWith(folder) || cookie.path === '/';
    });
  }

  get all() {
    return [...this.#cookies.values()];
  }

  forget(name) {
    for (const [key, cookie] of this.#cookies) if (cookie.name === name) this.#cookies.delete(key);
  }
}

/** Cookies without the attribute pass too: Chromium sends them with a cross-site POST for two minutes after they were set. */
function crossesSites(sameSite) {
  return sameSite === 'none' || sameSite === '';
}

const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'accept-language': 'en',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-user': '?1',
  'upgrade-insecure-requests': '1',
};

/** One browser profile. */
export class Person {
  constructor({ agent } = {}) {
    this.jar = new CookieJar();
    this.agent = agent;
    this.trail = [];
  }

  /** A navigation with every redirect followed; gives the page where it ends. */
  async open(url, { method = 'GET', form, headers = {}, from = 'none', hops = 20, stopAt } = {}) {
    let at = new URL(url).href;
    let how = method;
    let fields = form;
    let site = from;
    for (let hop = 0; hop < hops; hop += 1) {
      const answer = await this.fetch(at, { method: how, form: fields, headers: { ...NAVIGATION, 'sec-fetch-site': site, ...headers } });
      this.trail.push(`${how} ${at} ${answer.status}`);
      if (![301, 302, 303, 307, 308].includes(answer.status) || !answer.headers.location) return answer;
      const next = new URL(answer.headers.location, at).href;
      if (stopAt?.(next)) return Object.assign(answer, { next });
      if (new URL(next).hostname !== new URL(at).hostname) site = 'cross-site';
      if (answer.status === 303 || (how === 'POST' && answer.status < 303)) {
        how = 'GET';
        fields = undefined;
      }
      at = next;
    }
    throw new Error(`too many redirects:\n${this.trail.slice(-hops).join('\n')}`);
  }

  /** One exchange with this person's cookies, as a page's own script would make it unless `headers` say else. */
  async fetch(url, options = {}) {
    const site = options.headers?.['sec-fetch-site'] === 'cross-site' ? 'cross' : 'same';
    const safe = (options.method ?? 'GET') === 'GET' && options.headers?.['sec-fetch-mode'] === 'navigate';
    const cookie = this.jar.header(url, { site, safe });
    const headers = { ...(cookie ? { cookie } : {}), ...options.headers };
    const answer = await request(url, { agent: this.agent, ...options, headers });
    this.jar.take(url, answer.headers['set-cookie']);
    return answer;
  }

  /** Fills one form of the page (the first, or that with `id` or an action that contains `action`) and follows on. */
  async submit(page, values = {}, which = {}) {
    const form = findForm(page, which);
    if (!form) throw new Error(`no form on ${page.url} (${page.status}):\n${page.text.slice(0, 2000)}`);
    const action = new URL(form.action || page.url, page.url);
    const fields = { ...form.fields, ...values };
    const from = siteOf(page.url, action.href);
    if (form.method === 'GET') {
      for (const [name, value] of Object.entries(fields)) action.searchParams.set(name, value);
      return this.open(action.href, { from });
    }
    const origin = new URL(page.url).origin;
    return this.open(action.href, { method: 'POST', form: fields, from, headers: { origin } });
  }
}

/** `Sec-Fetch-Site` of a request from one page to another. The hosts met here have no subdomains. */
export function siteOf(from, to) {
  const [a, b] = [new URL(from), new URL(to)];
  if (a.origin === b.origin) return 'same-origin';
  return a.hostname === b.hostname ? 'same-site' : 'cross-site';
}

/** The forms of a page with their hidden and preset fields. Enough for the login pages met here; no HTML parser. */
export function forms(page) {
  return [...page.text.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, attributes, inner]) => {
    const fields = {};
    for (const [tag] of inner.matchAll(/<input\b[^>]*>/gi)) {
      const name = attribute(tag, 'name');
      const type = (attribute(tag, 'type') ?? 'text').toLowerCase();
      if (!name || type === 'submit' || type === 'button') continue;
      if ((type === 'checkbox' || type === 'radio') && !/\schecked\b/i.test(tag)) continue;
      fields[name] = attribute(tag, 'value') ?? '';
    }
    return {
      id: attribute(attributes, 'id'),
      action: attribute(attributes, 'action') ?? '',
      method: (attribute(attributes, 'method') ?? 'get').toUpperCase(),
      fields,
    };
  });
}

function findForm(page, { id, action }) {
  return forms(page).find((form) => (id === undefined || form.id === id) && (action === undefined || form.action.includes(action)));
}

function attribute(tag, name) {
  const match = new RegExp(`(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s>]+))`, 'i').exec(tag);
  const raw = match?.[1] ?? match?.[2] ?? match?.[3];
  return raw === undefined ? undefined : unescape(raw);
}

function unescape(text) {
  return text
    .replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&#x27;', "'")
    .replaceAll('&lt;', '<').replaceAll('&gt;', '>')
    .replace(/&#x([0-9a-f]+);/gi, (_, hex) => String.fromCodePoint(parseInt(hex, 16)))
    .replace(/&#(\d+);/g, (_, decimal) => String.fromCodePoint(Number(decimal)))
    .replaceAll('&amp;', '&');
}
