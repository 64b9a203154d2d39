// schemathesis in a virtual environment of its own, under target/interop.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { suite, work } from './places.js';
import { run } from './processes.js';

const environment = path.join(work, 'schemathesis');
const requirements = path.join(suite, 'schemathesis/requirements.txt');

/** Makes the environment once for these requirements. */
async function prepare() {
  const stamp = path.join(environment, 'prepared');
  const wanted = await fs.readFile(requirements, 'utf8');
  if (existsSync(stamp) && (await fs.readFile(stamp, 'utf8')) === wanted) return;
  await fs.rm(environment, { recursive: true, force: true });
  await run('python3', ['-m', 'venv', environment]);
  await run(path.join(environment, 'bin/pip'), ['install', '-q', '--disable-pip-version-check', '-r', requirements]);
  await fs.writeFile(stamp, wanted);
}

/** Runs schemathesis with these arguments in a folder; gives its exit code and what it printed. */
export async function schemathesis(folder, ...args) {
  await prepare();
  const child = spawn(path.join(environment, 'bin/schemathesis'), ['run', ...args], {
    cwd: folder, env: { ...process.env, NO_COLOR: '1', PYTHONUNBUFFERED: '1' }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { output += text; });
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { code, output };
}
