// Where the suites find and keep things. Everything that is made lands under the repository's target folder.
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const suite = path.join(repository, 'tests/interop');
export const work = path.join(repository, 'target/interop');
export const usherBinary = path.resolve(repository, process.env.USHER_BIN ?? 'target/debug/usher');
