// scim2-tester in a virtual environment of its own, under target/interop.
import fs from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { suite, work } from './places.js';
import { run } from './processes.js';

const environment = path.join(work, 'scim');
const requirements = path.join(suite, 'scim/requirements.txt');

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

/** Every check of the tester against that server, with what came of it. */
export async function scim2Checks(base, token) {
  await prepare();
  const output = await run(path.join(environment, 'bin/python'), [path.join(suite, 'scim/check.py'), base, token]);
  return output.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}
