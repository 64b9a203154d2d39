// usher as a process of its own, driven by a config file like anybody's.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { request } from './http.js';
import { usherBinary, work } from './places.js';
import { Child, freePort, until } from './processes.js';

export class Usher {
  #folder;

  /** `config` is the config as JSON (which YAML contains), without `listen`, `public_url`, `metrics` and `store` unless they matter. */
  constructor(config, { name = 'usher' } = {}) {
    this.config = config;
    this.name = name;
  }

  /** Takes its ports, so that an IdP can be told the redirect URI before the start. */
  async reserve() {
    this.port ??= await freePort();
    this.metricsPort ??= await freePort();
    this.origin = `http://localhost:${this.port}`;
    return this;
  }

  async start() {
    await this.reserve();
    if (!this.#folder) {
      await fs.mkdir(path.join(work, 'runs'), { recursive: true });
      this.#folder = await fs.mkdtemp(path.join(work, 'runs', `${this.name}-`));
    }
    const config = {
      listen: `127.0.0.1:${this.port}`,
      public_url: this.origin,
      metrics: { listen: `127.0.0.1:${this.metricsPort}` },
      store: `sqlite:${path.join(this.#folder, 'usher.db')}`,
      ...this.config,
    };
    this.file = path.join(this.#folder, 'usher.yaml');
    await fs.writeFile(this.file, JSON.stringify(config, undefined, 2));
    await this.launch();
    return this;
  }

  /** Starts the binary with the config and the store of the last start. */
  async launch() {
    this.child = new Child(this.name, usherBinary, ['run', '--config', this.file]);
    await until('usher is ready', async () => {
      this.child.mustRun();
      const answer = await request(`http://127.0.0.1:${this.metricsPort}/readyz`, { timeout: 1000 });
      return answer.status === 200;
    }, { within: 15_000 });
  }

  /** Runs a command beside the running one, over the same config; gives what it prints. */
  async run(...words) {
    const { stdout } = await promisify(execFile)(usherBinary, [...words, '--config', this.file]);
    return stdout.trim();
  }

  async kill9() {
    await this.child.kill('SIGKILL');
  }

  /** What it printed last: a refusal's cause stands in the log alone. */
  log(lines = 5) {
    return this.child.output.trimEnd().split('\n').slice(-lines).join('\n');
  }

  async stop() {
    if (!this.child) return;
    // At once: SIGTERM would let it go on for a while.
    await this.child.kill('SIGINT');
    const secrets = JSON.stringify(this.config).match(/whsec_[A-Za-z0-9+/=]+|[a-z-]+-client-secret/g) ?? [];
    for (const secret of secrets) {
      if (this.child.output.includes(secret)) throw new Error(`${this.name} printed a secret of its config`);
    }
  }
}

/** A Standard Webhooks secret as the standard writes it. */
export function webhookSecret() {
  return `whsec_${randomBytes(32).toString('base64')}`;
}
