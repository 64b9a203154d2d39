// Canonical form: usher's, of random documents, is libxml2's byte for byte.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { repository, suite, work } from './lib/places.js';
import { run } from './lib/processes.js';

const DOCUMENTS = 20_000;
const requirements = path.join(suite, 'c14n/requirements.txt');
const venv = path.join(work, 'c14n-venv');

const corpus = path.join(repository, 'target/debug/examples/c14n_corpus');

/** Pipes the documents of one seed into the comparison; gives its summary and the differences that it shows. */
async function compare(seed) {
  const pipe = 'set -o pipefail; "$0" "$1" "$2" | "$3" "$4"';
  const child = spawn('bash', ['-c', pipe, corpus, String(DOCUMENTS), String(seed), path.join(venv, 'bin/python'), path.join(suite, 'c14n/compare.py')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let summary = '';
  let differences = '';
  child.stdout.on('data', (chunk) => { summary += chunk; });
  child.stderr.on('data', (chunk) => { differences += chunk; });
  await new Promise((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', reject);
  });
  return { ...JSON.parse(summary || '{}'), differences };
}

describe('exclusive canonicalization by libxml2', () => {
  before(async () => {
    await fs.mkdir(work, { recursive: true });
    await run('python3', ['-m', 'venv', venv]);
    await run(path.join(venv, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', '--requirement', requirements]);
    await run('cargo', ['build', '--quiet', '--locked', '--example', 'c14n_corpus'], { cwd: repository });
  }, { timeout: 600_000 });

  for (const seed of [1, Number(process.env.C14N_SEED ?? 2)]) {
    test(`${DOCUMENTS} random documents of seed ${seed}`, { timeout: 300_000 }, async (t) => {
      const { differences, ...summary } = await compare(seed);
      t.diagnostic(JSON.stringify(summary));
      assert.equal(summary.documents, DOCUMENTS, differences);
      assert.equal(summary.different, 0, differences.slice(0, 6000));
      for (const kind of ['inner_elements', 'with_prefix_list', 'with_subtree_left_out']) {
        assert.ok(summary[kind] > DOCUMENTS / 20, `too few ${kind}`);
      }
    });
  }
});
