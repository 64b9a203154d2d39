// Keycloak from its real distribution, as Maven Central carries it.
import fs from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Child, freePort, run, until } from './processes.js';
import { request } from './http.js';
import { suite, work } from './places.js';

const VERSION = '26.7.3';
const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy';
const ADMIN = { username: 'interop-admin', password: 'interop-admin-password' };

const cache = path.join(work, 'keycloak');
const home = path.join(cache, `keycloak-${VERSION}`);
const pristine = path.join(cache, 'pristine');

/** Fetches, unpacks and builds the distribution, and imports the realm, once; later calls find it done. */
export async function prepare() {
  const realm = path.join(suite, 'keycloak/realm.json');
  const wanted = `${VERSION}\n${await fs.readFile(realm, 'utf8')}`;
  const stamp = path.join(cache, 'prepared');
  if (existsSync(stamp) && (await fs.readFile(stamp, 'utf8')) === wanted) return;
  await fs.mkdir(cache, { recursive: true });
  await unpack();
  await fs.rm(path.join(home, 'data'), { recursive: true, force: true });
  await fs.mkdir(path.join(home, 'data/import'), { recursive: true });
  await fs.copyFile(realm, path.join(home, 'data/import/acme-realm.json'));
  await run('bash', [path.join(home, 'bin/kc.sh'), 'build', '--db=dev-file', '--cache=local', '--health-enabled=true', '--metrics-enabled=false']);
  const first = new Keycloak();
  await first.launch(['--import-realm']);
  await first.stop();
  // The database as it is right after the import: every start begins with it.
  await fs.rm(pristine, { recursive: true, force: true });
  await fs.cp(path.join(home, 'data/h2'), pristine, { recursive: true });
  await fs.writeFile(stamp, wanted);
}

/** Signals a process group; false where nobody is left in it. */
function signal(group, name) {
  try {
    process.kill(group, name);
    return true;
  } catch {
    return false;
  }
}

async function unpack() {
  const zip = path.join(cache, `keycloak-quarkus-dist-${VERSION}.zip`);
  if (!existsSync(zip)) {
    await run('mvn', ['-q', '-B', PLUGIN, `-Dartifact=org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`, `-DoutputDirectory=${cache}`], { cwd: cache });
  }
  await fs.rm(home, { recursive: true, force: true });
  await run('unzip', ['-q', zip, '-d', cache]);
}

/** One Keycloak with the realm `acme` as `realm.json` describes it. Only one runs at a time: they share the folder. */
export class Keycloak {
  name = 'Keycloak';
  clientId = 'usher';
  clientSecret = 'keycloak-client-secret';
  groupsScope = undefined;

  async start() {
    await prepare();
    await this.restore();
    await this.launch([]);
  }

  async restore() {
    await fs.rm(path.join(home, 'data/h2'), { recursive: true, force: true });
    await fs.cp(pristine, path.join(home, 'data/h2'), { recursive: true });
  }

  /** Starts with the database as the last stop left it. */
  async launch(more = []) {
    this.port ??= await freePort();
    this.managementPort ??= await freePort();
    this.origin = `http://127.0.0.1:${this.port}`;
    this.issuer = `${this.origin}/realms/acme`;
    const args = [
      path.join(home, 'bin/kc.sh'), 'start', '--optimized',
      '--http-enabled=true', '--http-host=127.0.0.1', `--http-port=${this.port}`,
      `--http-management-port=${this.managementPort}`,
      '--hostname-strict=false', '--log-level=warn', ...more,
    ];
    // kc.sh runs java with exec only where it can: a process group of its own lets stop() end both.
    this.child = new Child('keycloak', 'bash', args, {
      detached: true,
      env: {
        ...process.env,
        KC_BOOTSTRAP_ADMIN_USERNAME: ADMIN.username,
        KC_BOOTSTRAP_ADMIN_PASSWORD: ADMIN.password,
        JAVA_OPTS_KC_HEAP: '-Xms64m -Xmx512m',
      },
    });
    await until('Keycloak is ready', async () => {
      this.child.mustRun();
      const answer = await request(`${this.issuer}/.well-known/openid-configuration`);
      return answer.status === 200;
    }, { within: 180_000, every: 200 });
  }

  async stop() {
    if (!this.child) return;
    const group = -this.child.pid;
    this.child = undefined;
    signal(group, 'SIGTERM');
    try {
      // The shell ends first; java holds the database until it has ended too.
      await until('Keycloak has ended', () => !signal(group, 0), { within: 20_000 });
    } finally {
      signal(group, 'SIGKILL');
    }
  }

  /** One call of the admin API for the realm: `body` as JSON, or `text` as it is. */
  async admin(method, at, body, text) {
    if (!this.token || Date.now() > this.tokenUntil) {
      const answer = await request(`${this.origin}/realms/master/protocol/openid-connect/token`, {
        method: 'POST',
        form: { grant_type: 'password', client_id: 'admin-cli', ...ADMIN },
      });
      if (answer.status !== 200) throw new Error(`admin token: ${answer.status} ${answer.text}`);
      this.token = answer.json.access_token;
      this.tokenUntil = Date.now() + (answer.json.expires_in - 10) * 1000;
    }
    const answer = await request(`${this.origin}/admin/realms/acme${at}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...(text === undefined ? {} : { 'content-type': 'text/plain' }) },
      ...(text === undefined ? { json: body } : { body: text }),
    });
    if (answer.status >= 300) throw new Error(`${method} ${at}: ${answer.status} ${answer.text}`);
    return answer.text ? answer.json : undefined;
  }

  async user(name) {
    const found = await this.admin('GET', `/users?exact=true&username=${name}`);
    return found[0];
  }

  /** Registers usher at these origins: redirect URIs and post-logout redirect URIs. */
  async register(origins, { idp = 'acme' } = {}) {
    const [client] = await this.admin('GET', '/clients?clientId=usher');
    client.redirectUris = origins.map((origin) => `${origin}/_usher/oidc/${idp}/callback`);
    client.attributes['post.logout.redirect.uris'] = origins.map((origin) => `${origin}/*`).join('##');
    await this.admin('PUT', `/clients/${client.id}`, client);
  }

  async setGroups(name, groups) {
    const user = await this.user(name);
    const known = await this.admin('GET', '/groups');
    const now = await this.admin('GET', `/users/${user.id}/groups`);
    for (const group of now) await this.admin('DELETE', `/users/${user.id}/groups/${group.id}`);
    for (const wanted of groups) {
      const group = known.find((candidate) => candidate.name === wanted);
      await this.admin('PUT', `/users/${user.id}/groups/${group.id}`);
    }
  }

  async setEnabled(name, enabled) {
    const user = await this.user(name);
    await this.admin('PUT', `/users/${user.id}`, { ...user, enabled });
  }

  /** How many sessions the IdP itself holds for this user. */
  async sessionsOf(name) {
    const user = await this.user(name);
    return (await this.admin('GET', `/users/${user.id}/sessions`)).length;
  }

  /** Is this the page on which the user signs in at the IdP? */
  isSignInPage(page) {
    return page.url.startsWith(this.origin) && page.text.includes('id="kc-form-login"');
  }

  /** Fills the IdP's own form and gives the page that the browser comes to. */
  async submitSignIn(person, page, name, password = `${name}-password`) {
    return person.submit(page, { username: name, password }, { id: 'kc-form-login' });
  }

  /** Keycloak asks before it signs out where the request carried no id_token_hint. */
  isSignOutQuestion(page) {
    return page.url.startsWith(this.origin) && page.text.includes('session_code') && page.text.includes('logout-confirm');
  }
}
