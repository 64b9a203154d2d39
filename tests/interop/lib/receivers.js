// The receivers of docs/callback, each started as its first lines say, and a sender that signs as usher does.
import { createHmac, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { request } from './http.js';
import { repository, work } from './places.js';
import { Child, freePort, run, until } from './processes.js';

const folder = path.join(repository, 'docs/callback');

/** How each is started; `build` runs once before. */
export const RECEIVERS = {
  python: { command: () => ['python3', [path.join(folder, 'python/receiver.py')]] },
  node: { command: () => ['node', [path.join(folder, 'node/receiver.mjs')]] },
  go: {
    // `go run` would be the parent of what listens.
    build: () => run('go', ['build', '-o', path.join(work, 'receivers/go-receiver'), path.join(folder, 'go/receiver.go')]),
    command: () => [path.join(work, 'receivers/go-receiver'), []],
  },
  php: { command: (port) => ['php', ['-S', `127.0.0.1:${port}`, path.join(folder, 'php/receiver.php')]] },
  java: { command: () => ['java', [path.join(folder, 'java/Receiver.java')]] },
};

export class Receiver {
  /** `secrets`: newest first. */
  constructor(language, { secrets, seats = 100 }) {
    Object.assign(this, { language, secrets, seats });
    mkdirSync(path.join(work, 'receivers'), { recursive: true });
    this.folder = mkdtempSync(path.join(work, 'receivers', `${language}-`));
    this.store = path.join(this.folder, 'accounts');
  }

  async start() {
    this.port ??= await freePort();
    this.url = `http://127.0.0.1:${this.port}/internal/users`;
    const { build, command } = RECEIVERS[this.language];
    await build?.();
    await this.launch(command(this.port));
    return this;
  }

  async launch([command, words] = RECEIVERS[this.language].command(this.port)) {
    const env = { ...process.env, HOOK_SECRET: this.secrets.join(' '), PORT: String(this.port), STORE: this.store, SEATS: String(this.seats) };
    this.child = new Child(this.language, command, words, { cwd: this.folder, env });
    await until(`the receiver in ${this.language} listens`, async () => {
      this.child.mustRun();
      return (await request(this.url, { method: 'POST', body: '{}', timeout: 1000 })).status === 401;
    }, { within: 120_000, every: 100 });
  }

  async stop() {
    await this.child?.kill('SIGTERM');
  }

  /** Whether its file has this text. */
  async remembers(text) {
    return (await fs.readFile(this.store)).includes(text);
  }

  /** Sends one event as usher does, save for what `with` says: its id, seconds, signing secrets, and what happens to the body on the way. */
  async tell(event, { id = `evt_${randomUUID()}`, at = Math.floor(Date.now() / 1000), secrets = this.secrets.slice(0, 1), signature, tampered } = {}) {
    const body = JSON.stringify(event);
    const headers = {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(at),
      'webhook-signature': signature ?? secrets.map((secret) => sign(secret, id, at, body)).join(' '),
    };
    return request(this.url, { method: 'POST', headers, body: tampered?.(body) ?? body });
  }
}

export function sign(secret, id, at, body) {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64')}`;
}

/** An event of usher about somebody. */
export function event(type, name, changes = {}) {
  return {
    type: `user.${type}`,
    timestamp: new Date().toISOString(),
    data: {
      app: 'wiki',
      user: {
        id: `usr_${name}`, email: `${name}@acme.example`, email_verified: true, name: `${name} "Ü" O'Neil`, given_name: name, family_name: null,
        username: name, groups: ['engineering', 'a,b{}[]'], roles: ['viewer', 'editor'], active: !['deactivated', 'deleted'].includes(type), ...changes,
      },
      identity: { idp: 'acme', protocol: 'oidc', issuer: 'https://login.acme.example', subject: `sub-${name}` },
      previous: {},
      account: null,
    },
  };
}
