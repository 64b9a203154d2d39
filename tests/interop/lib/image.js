// The image's files as a container of their own kernel namespace: read-only, under any user id, without a container runtime.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { inflateSync } from 'node:zlib';
import { request } from './http.js';
import { suite, work } from './places.js';
import { Child, run, until } from './processes.js';

const folder = path.join(work, 'image');
export const rootfs = path.join(folder, 'rootfs');

/** What a runtime does before it starts the process: mounts, then root may be written no more. */
const ENTER = `
mount --bind "$ROOT" "$ROOT"
mount --bind "$FOLDER/state" "$ROOT/var/lib/usher"
for each in etc/usher run/secrets etc/hosts; do
  mount --bind "$FOLDER/$each" "$ROOT/$each"
  mount -o bind,remount,ro "$ROOT/$each"
done
mount -t proc proc "$ROOT/proc"
mount --bind /dev/null "$ROOT/dev/null"
mount -o bind,remount,ro,nosuid,nodev "$ROOT"
exec env -i "$@"`;

/** Builds what is not built yet; gives the image's config and how it was built. */
export async function image() {
  await run(path.join(suite, 'image/build'), []);
  const [inspected, facts] = await Promise.all(['image.json', 'facts.json'].map((file) => fs.readFile(path.join(folder, file), 'utf8')));
  return { config: JSON.parse(inspected).Docker.config, facts: JSON.parse(facts) };
}

/** Every entry of the image: its path, mode, owner and size. */
export async function entries() {
  const names = await fs.readdir(rootfs, { recursive: true });
  return Promise.all(names.map(async (name) => {
    const { mode, uid, gid, size } = await fs.lstat(path.join(rootfs, name));
    return { name: `/${name}`, kind: mode & 0o170000, mode: mode & 0o7777, uid, gid, size };
  }));
}

/** The crates that `cargo auditable` wrote into the binary. */
export async function auditable() {
  const out = path.join(folder, 'dep-v0');
  // Of an earlier image; objcopy writes nothing where there is no such section.
  await fs.rm(out, { force: true });
  await run('objcopy', ['--dump-section', `.dep-v0=${out}`, path.join(rootfs, 'usr/bin/usher'), '/dev/null']);
  return JSON.parse(inflateSync(await fs.readFile(out)).toString()).packages;
}

export class Container {
  /** `files`: texts by their path in the container, below /etc/usher, /run/secrets or /etc/hosts. */
  constructor({ config, uid, gid, files }) {
    Object.assign(this, { config, uid, gid, files });
  }

  async create() {
    this.folder = await fs.mkdtemp(path.join(folder, 'run-'));
    this.root = path.join(this.folder, 'root');
    await run('cp', ['-a', rootfs, this.root]);
    await run('cp', ['-a', path.join(rootfs, 'var/lib/usher'), path.join(this.folder, 'state')]);
    // Where a runtime mounts, it makes the place.
    for (const one of ['proc', 'dev', 'run/secrets', 'etc/usher']) await fs.mkdir(path.join(this.root, one), { recursive: true });
    for (const one of ['dev/null', 'etc/hosts']) await fs.writeFile(path.join(this.root, one), '');
    await fs.mkdir(path.join(this.folder, 'run/secrets'), { recursive: true });
    for (const [name, text] of Object.entries(this.files)) {
      const file = path.join(this.folder, name);
      await fs.mkdir(path.dirname(file), { recursive: true });
      await fs.writeFile(file, text, { mode: 0o444 });
    }
    return this;
  }

  #command(words) {
    const env = this.config.Env;
    const inside = [...env, 'setpriv', '--no-new-privs', '--clear-groups', 'unshare', `--root=${this.root}`, `--wd=${this.config.WorkingDir}`,
      `--setgid=${this.gid}`, `--setuid=${this.uid}`, ...words];
    return ['unshare', ['--mount', '--propagation', 'private', 'sh', '-euc', ENTER, 'enter', ...inside],
      { env: { ...process.env, ROOT: this.root, FOLDER: this.folder } }];
  }

  /** Starts what the image starts; gives the milliseconds until `readyUrl` answers 200. */
  async start(readyUrl) {
    const began = performance.now();
    this.child = new Child('image', ...this.#command([...this.config.Entrypoint, ...this.config.Cmd]));
    await until('usher in the image is ready', async () => {
      this.child.mustRun();
      return (await request(readyUrl, { timeout: 1000 })).status === 200;
    }, { within: 30_000, every: 5 });
    return performance.now() - began;
  }

  /** Runs another command in it to its end. */
  execute(words) {
    const [command, all, options] = this.#command(words);
    const { status, stdout, stderr, error } = spawnSync(command, all, { ...options, encoding: 'utf8' });
    if (error) throw error;
    return { code: status, output: stdout + stderr };
  }

  async remove() {
    await this.child?.kill('SIGKILL');
    await fs.rm(this.folder, { recursive: true, force: true });
  }
}
