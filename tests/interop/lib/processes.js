// Child processes, free ports and waiting.
import { spawn } from 'node:child_process';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export { sleep };

const taken = new Set();

/**
 * A TCP port of 127.0.0.1 that nobody listens on now. Below the range that systems take for outgoing connections, so that none
 * of those has it when its server starts a moment later.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (!taken.has(port) && (await canListen(port))) {
      taken.add(port);
      return port;
    }
  }
}

async function canListen(port) {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Asks again every `every` ms until `probe` gives something truthy; throws what it said last after `within` ms. */
export async function until(what, probe, { within = 10_000, every = 50 } = {}) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = undefined;
    } catch (error) {
      if (error instanceof Ended) throw error;
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`${what}: not within ${within} ms${last ? ` (${last.message})` : ''}`);
    }
    await sleep(every);
  }
}

/** A child process that keeps what it printed and can be stopped for sure. */
export class Child {
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.output = '';
    this.exited = false;
    this.process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const keep = (chunk) => {
      this.output += chunk;
      if (process.env.INTEROP_VERBOSE) process.stderr.write(`[${name}] ${chunk}`);
    };
    this.process.stdout.on('data', keep);
    this.process.stderr.on('data', keep);
    this.exit = new Promise((resolve) => {
      this.process.once('error', (error) => {
        this.output += `\n${error.message}`;
        this.exited = true;
        resolve({ code: -1 });
      });
      this.process.once('exit', (code, signal) => {
        this.exited = true;
        resolve({ code, signal });
      });
    });
  }

  get pid() {
    return this.process.pid;
  }

  /** Throws with the last lines when the process has ended: a start-up that failed says why at once. */
  mustRun() {
    if (this.exited) throw new Ended(`${this.name} has ended:\n${this.output.slice(-4000)}`);
  }

  async kill(signal = 'SIGTERM', { within = 15_000 } = {}) {
    if (this.exited) return this.exit;
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), within);
    const result = await this.exit;
    clearTimeout(timer);
    return result;
  }
}

export class Ended extends Error {}

/** Runs a command to its end and gives its output; throws when it fails. */
export async function run(command, args, options = {}) {
  const child = new Child(command, command, args, options);
  const { code, signal } = await child.exit;
  if (code !== 0) {
    throw new Error(`${command} ${args.join(' ')} ended with ${signal ?? code}:\n${child.output.slice(-4000)}`);
  }
  return child.output;
}
