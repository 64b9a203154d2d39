// samael, built from `samael/` into target/interop.
import path from 'node:path';
import { JsonLines } from './json-lines.js';
import { suite, work } from './places.js';
import { run } from './processes.js';

const target = path.join(work, 'samael');

/** Needs libxml2, xmlsec1 with OpenSSL and libclang for its bindings: see the README. */
export async function samael(...args) {
  await run('cargo', ['build', '--locked', '--quiet', '--target-dir', target], { cwd: path.join(suite, 'samael') });
  return new JsonLines('samael', path.join(target, 'debug/samael-peer'), args);
}
