// pysaml2 in a virtual environment of its own, under target/interop.
import fs from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { JsonLines } from './json-lines.js';
import { suite, work } from './places.js';
import { run } from './processes.js';

const environment = path.join(work, 'pysaml2');
const requirements = path.join(suite, 'pysaml2/requirements.txt');

/** Makes the environment once for these requirements. */
async function prepare() {
  const stamp = path.join(environment, 'prepared');
  const wanted = await fs.readFile(requirements, 'utf8');
  if (existsSync(stamp) && (await fs.readFile(stamp, 'utf8')) === wanted) return;
  await run('xmlsec1', ['--version']);
  await fs.rm(environment, { recursive: true, force: true });
  await run('python3', ['-m', 'venv', environment]);
  await run(path.join(environment, 'bin/pip'), ['install', '-q', '--disable-pip-version-check', '-r', requirements]);
  await fs.writeFile(stamp, wanted);
}

export async function pysaml2() {
  await prepare();
  return new JsonLines('pysaml2', path.join(environment, 'bin/python'), [path.join(suite, 'pysaml2/peer.py')]);
}
