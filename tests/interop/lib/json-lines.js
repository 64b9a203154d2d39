// A child process that answers one line of JSON with one line of JSON.
import { createInterface } from 'node:readline';
import { spawn } from 'node:child_process';

export class JsonLines {
  #waiting = [];

  constructor(name, command, args, options = {}) {
    this.name = name;
    this.errors = '';
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.process.stderr.on('data', (chunk) => {
      this.errors += chunk;
    });
    this.process.once('error', (error) => this.#fail(error.message));
    this.process.once('exit', (code) => this.#fail(`ended with ${code}`));
    createInterface({ input: this.process.stdout }).on('line', (line) => this.#waiting.shift()?.resolve(JSON.parse(line)));
  }

  /** What the process answers; throws where it had something against it. */
  async ask(what, request = {}) {
    const answer = await this.try(what, request);
    if (answer.error) throw new Error(`${this.name}, ${what}: ${answer.error}`);
    return answer;
  }

  /** The same, with `error` as a part of the answer. */
  try(what, request = {}) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.process.stdin.write(`${JSON.stringify({ do: what, ...request })}\n`);
    });
  }

  async stop() {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.stdin.end();
    if (this.process.exitCode === null) await ended;
  }

  #fail(why) {
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(`${this.name} ${why}\n${this.errors.slice(-2000)}`));
  }
}
