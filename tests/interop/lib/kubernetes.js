// helm, kubeconform, helm-docs and the schemas of Kubernetes and of CRDs, all under target/interop/helm. No cluster.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { repository, suite, work } from './places.js';
import { run } from './processes.js';

const folder = path.join(work, 'helm');
const bin = path.join(folder, 'bin');
const python = path.join(folder, 'venv/bin/python');
const schemas = path.join(folder, 'schemas');
export const chart = path.join(repository, 'helm/usher');

const TOOLS = {
  kubeconform: 'github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0',
  helm: 'helm.sh/helm/v4/cmd/helm@v4.3.1',
  'helm-docs': 'github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2',
};
const MODULES = {
  kubeconform: 'github.com/yannh/kubeconform@v0.8.0',
  'gateway-api': 'sigs.k8s.io/gateway-api@v1.6.3',
  'prometheus-operator': 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
  'envoy-gateway': 'github.com/envoyproxy/gateway@v1.9.1',
  traefik: 'github.com/traefik/traefik-helm-chart@v41.6.0+incompatible',
  istio: 'istio.io/api@v1.31.1',
};
export const VERSIONS = Array.from({ length: 9 }, (_, index) => `1.${29 + index}.0`);

/** Builds and fetches what is missing, once for these versions. Cold it takes minutes: helm is large. */
export async function prepare() {
  await fs.mkdir(bin, { recursive: true });
  for (const [name, source] of Object.entries(TOOLS)) {
    await once(name, source, () => run('go', ['install', source], { env: { ...process.env, GOBIN: bin, GOFLAGS: '-p=2' } }));
  }
  const requirements = await fs.readFile(path.join(suite, 'chart/requirements.txt'), 'utf8');
  await once('venv', requirements, async () => {
    await run('python3', ['-m', 'venv', path.join(folder, 'venv')]);
    await run(path.join(folder, 'venv/bin/pip'), ['install', '-q', '--disable-pip-version-check', '-r', path.join(suite, 'chart/requirements.txt')]);
  });
  const script = path.join(suite, 'chart/schemas.py');
  await once('schemas', `${requirements}${JSON.stringify(MODULES)}${await fs.readFile(script, 'utf8')}`, async () => {
    const places = {};
    for (const [name, module] of Object.entries(MODULES)) {
      const answer = await run('go', ['mod', 'download', '-json', module], { cwd: folder });
      places[name] = JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1)).Dir;
    }
    await run(python, [script, schemas, JSON.stringify(places)]);
  });
}

async function once(name, wanted, make) {
  const stamp = path.join(folder, `${name}.made`);
  if (existsSync(stamp) && (await fs.readFile(stamp, 'utf8')) === wanted) return;
  await make();
  await fs.writeFile(stamp, wanted);
}

/** A command with this input; gives its exit code and what it printed. */
async function pipe(command, args, input = '') {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, HELM_CACHE_HOME: path.join(folder, 'cache'), HELM_CONFIG_HOME: path.join(folder, 'config'), HELM_DATA_HOME: path.join(folder, 'data') } });
  const [out, err] = [[], []];
  child.stdout.on('data', (chunk) => out.push(chunk));
  child.stderr.on('data', (chunk) => err.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

export const helm = (...args) => pipe(path.join(bin, 'helm'), args);

/** `helm-docs` of the chart, printed. */
export const helmDocs = () => pipe(path.join(bin, 'helm-docs'), ['--chart-search-root', chart, '--dry-run']);

const made = new Map();

/** What `helm template` makes of these values: a file by its path (made once), or a mapping. Throws what helm says when it refuses. */
export async function template(values, how = {}) {
  if (typeof values !== 'string') return rendered(values, how);
  const key = JSON.stringify([values, how]);
  if (!made.has(key)) made.set(key, await rendered(values, how));
  return made.get(key);
}

async function rendered(values, { of = chart, release = 'wiki', version = VERSIONS.at(-1), notes = false }) {
  const files = typeof values === 'string' ? ['--values', values] : ['--values', await written(values)];
  const command = notes ? ['install', '--dry-run=client'] : ['template'];
  const answer = await helm(...command, release, of, '--namespace', 'wiki', ...notes ? [] : ['--kube-version', version], ...files);
  if (answer.code !== 0) throw new Error(answer.err);
  return answer.out;
}

let count = 0;
async function written(values) {
  const place = path.join(folder, 'values');
  await fs.mkdir(place, { recursive: true });
  const file = path.join(place, `${process.pid}-${count++}.json`);
  await fs.writeFile(file, JSON.stringify(values));
  return file;
}

/** YAML documents as objects. */
export async function documents(text) {
  const answer = await pipe(python, [path.join(suite, 'chart/documents.py')], text);
  if (answer.code !== 0) throw new Error(answer.err);
  return JSON.parse(answer.out);
}

/** Validates documents against one version of Kubernetes and the CRDs; gives kubeconform's summary. */
export async function conform(text, version) {
  const answer = await pipe(path.join(bin, 'kubeconform'), [
    '-strict', '-summary', '-output', 'json', '-kubernetes-version', version,
    '-schema-location', `${schemas}/{{ .NormalizedKubernetesVersion }}-standalone{{ .StrictSuffix }}/{{ .ResourceKind }}{{ .KindSuffix }}.json`,
    '-schema-location', `${schemas}/crds/{{ .Group }}_{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json`,
  ], text);
  const { resources, summary } = JSON.parse(answer.out);
  return { code: answer.code, resources: resources ?? [], summary };
}
