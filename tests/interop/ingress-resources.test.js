// The Kubernetes resources of docs/ingress against the schemas that the chart's suite makes. No cluster. Needs Go, and Python 3 with venv.
// Not gateway-api.yaml: its filter is of the experimental channel, and the schemas are of the standard one.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { conform, prepare, VERSIONS } from './lib/kubernetes.js';
import { repository } from './lib/places.js';

const RESOURCES = { 'envoy-gateway.yaml': 5, 'istio.yaml': 4, 'traefik-kubernetes.yaml': 2, 'ingress-nginx.yaml': 2 };

describe('the Kubernetes resources of docs/ingress', { timeout: 850_000 }, () => {
  before(prepare, { timeout: 840_000 });

  for (const [name, count] of Object.entries(RESOURCES)) {
    test(`${name} is what the schemas say`, async () => {
      const text = await fs.readFile(path.join(repository, 'docs/ingress', name), 'utf8');
      const { code, resources, summary } = await conform(text, VERSIONS.at(-1));
      assert.equal(code, 0, JSON.stringify(resources, undefined, 2));
      assert.deepEqual(summary, { valid: count, invalid: 0, errors: 0, skipped: 0 });
      const typo = await conform(text.replace(/^spec:\n {2}(\w+):/gm, 'spec:\n  x$1:'), VERSIONS.at(-1));
      assert.notEqual(typo.code, 0, 'a typo passes too');
    });
  }
});
