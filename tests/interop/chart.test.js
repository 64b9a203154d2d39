// The Helm chart without a cluster: lint, templates against the schemas of Kubernetes 1.29 to 1.37 and of CRDs, every refusal, and
// the config of a rendered sidecar pod run by a real usher. Needs Go, and Python 3 with venv.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App } from './lib/app.js';
import { Person, request } from './lib/http.js';
import { chart, conform, documents, helm, helmDocs, prepare, template, VERSIONS } from './lib/kubernetes.js';
import { OidcProvider } from './lib/oidc-provider.js';
import { repository, usherBinary, work } from './lib/places.js';
import { Child, freePort, run, until } from './lib/processes.js';
import { webhookSecret } from './lib/usher.js';

const example = path.join(repository, 'helm/examples/wiki');
const kinds = (list, kind) => list.filter((one) => one.kind === kind);
const only = (list, kind) => {
  const found = kinds(list, kind);
  assert.equal(found.length, 1, `${found.length} of ${kind}`);
  return found[0];
};

let ci;

/** The values of a ci file by its name, without `-values.yaml`. */
async function valuesOf(name) {
  const [values] = await documents(await fs.readFile(path.join(chart, 'ci', `${name}-values.yaml`), 'utf8'));
  return values;
}

/** The values of a ci file with others laid over them; null takes a key away. */
async function over(name, more) {
  const merge = (below, above) => {
    if (above === null || typeof above !== 'object' || Array.isArray(above)) return above;
    const merged = { ...(typeof below === 'object' && !Array.isArray(below) ? below : {}) };
    for (const [key, value] of Object.entries(above)) {
      if (value === undefined) delete merged[key];
      else merged[key] = merge(merged[key], value);
    }
    return merged;
  };
  return merge(await valuesOf(name), more);
}

async function temporary(name) {
  const folder = path.join(work, 'helm/runs');
  await fs.mkdir(folder, { recursive: true });
  return fs.mkdtemp(path.join(folder, `${name}-`));
}

/** The example's chart with usher's where `helm dependency build` puts it. */
async function exampleWithUsher() {
  const folder = path.join(await temporary('example'), 'wiki');
  await fs.cp(example, folder, { recursive: true });
  await fs.cp(chart, path.join(folder, 'charts/usher'), { recursive: true });
  return folder;
}

describe('the Helm chart', { timeout: 850_000 }, () => {
  before(async () => {
    await prepare();
    const files = await fs.readdir(path.join(chart, 'ci'));
    ci = files.map((file) => path.join(chart, 'ci', file));
    assert.ok(ci.length >= 10, `${ci.length} ci files`);
  }, { timeout: 1_800_000 });

  test('lints strictly with the values of each ci file', async () => {
    for (const file of ci) {
      const answer = await helm('lint', '--strict', chart, '--values', file);
      assert.equal(answer.code, 0, `${path.basename(file)}\n${answer.out}${answer.err}`);
    }
  });

  test('each ci file makes manifests that Kubernetes 1.29 to 1.37 and the CRDs take', async (t) => {
    const folder = await exampleWithUsher();
    const shared = await over('proxy', { config: { store: 'postgres://usher@db/usher' }, replicaCount: 3, podDisruptionBudget: { enabled: true, minAvailable: 2 }, autoscaling: { enabled: true, minReplicas: 3, targetMemoryUtilizationPercentage: 80 } });
    const rendered = [await template({}, { of: folder }), await template(shared)];
    for (const file of ci) rendered.push(await template(file));
    let manifests = 0;
    for (const version of VERSIONS) {
      assert.equal(await template(ci[0], { version }), rendered[2], `${version} makes no difference`);
      const { resources, summary } = await conform(rendered.join('\n---\n'), version);
      assert.deepEqual(resources.map(({ kind, name, msg }) => `${kind} ${name}: ${msg}`), [], version);
      assert.equal(summary.invalid + summary.errors + summary.skipped, 0, JSON.stringify(summary));
      assert.ok(summary.valid > 80, JSON.stringify(summary));
      manifests += summary.valid;
    }
    t.diagnostic(`${manifests} manifests over ${VERSIONS.length} versions, from ${ci.length + 2} sets of values`);
  });

  test('a manifest with a typo does not pass, neither of Kubernetes nor of a CRD', async () => {
    const text = await template(path.join(chart, 'ci/forward-auth-envoy-gateway-values.yaml'));
    for (const [right, wrong] of [['automountServiceAccountToken', 'automountServiceAcountToken'], ['headersToExtAuth', 'headersToExtAuht'], ['parentRefs', 'parentRef']]) {
      assert.ok(text.includes(right), right);
      const { code, summary } = await conform(text.replaceAll(right, wrong), VERSIONS[0]);
      assert.ok(code !== 0 && summary.invalid > 0, `${wrong}: ${JSON.stringify(summary)}`);
    }
  });

  test('Kubernetes before native sidecars is refused', async () => {
    await assert.rejects(template(path.join(chart, 'ci/proxy-values.yaml'), { version: '1.28.0' }), /incompatible with Kubernetes v?1\.28\.0/);
  });

  test('`usher check` finds nothing wrong with any rendered config', async () => {
    const folder = await temporary('check');
    let checked = 0;
    for (const file of ci) {
      const config = kinds(await documents(await template(file)), 'ConfigMap').map(({ data }) => data?.['usher.yaml']).find(Boolean);
      if (!config) {
        assert.match(file, /existing-config/);
        continue;
      }
      const place = path.join(folder, 'usher.yaml');
      await fs.writeFile(place, config);
      await run(usherBinary, ['check', '--offline', '--config', place]).catch((error) => assert.fail(`${path.basename(file)}: ${error.message}\n${config}`));
      checked += 1;
    }
    assert.equal(checked, ci.length - 1);
  });

  test('every pod of the chart keeps to the restricted Pod Security Standard and has no token', async () => {
    let pods = 0;
    for (const file of ci) {
      const list = await documents(await template(file));
      for (const one of list.filter(({ kind }) => ['Deployment', 'Pod'].includes(kind))) {
        const spec = one.spec.template?.spec ?? one.spec;
        assert.equal(spec.automountServiceAccountToken, false);
        assert.equal(spec.securityContext.runAsNonRoot, true);
        assert.equal(spec.securityContext.seccompProfile.type, 'RuntimeDefault');
        const own = [...spec.initContainers ?? [], ...spec.containers].filter(({ image }) => image.includes('/usher'));
        assert.equal(own.length, 1, `${file}: ${JSON.stringify(spec.containers)}`);
        const { securityContext: own_, resources } = own[0];
        assert.deepEqual([own_.allowPrivilegeEscalation, own_.readOnlyRootFilesystem, own_.runAsNonRoot, own_.runAsUser], [false, true, true, 65532]);
        assert.deepEqual(own_.capabilities, { drop: ['ALL'] });
        assert.equal(own_.seccompProfile.type, 'RuntimeDefault');
        assert.ok(resources.limits.memory && resources.requests.cpu);
        pods += 1;
      }
    }
    assert.ok(pods > ci.length, `${pods} pods`);
  });

  describe('refuses nonsense with a sentence on what to write', () => {
    const gateway = { enabled: true, gatewayRef: { name: 'edge' } };
    const cases = {
      'an unknown mode': ['proxy', { mode: 'reverse' }, /mode is "reverse"\.\s+Write mode: sidecar/],
      'no image': ['proxy', { image: { repository: '' } }, /image\.repository is not set\.\s+Write where/],
      'no config': ['proxy', { config: undefined }, /there is no config\.\s+Write config\.public_url/],
      'both a config and an existing one': ['proxy', { config: { existingConfig: 'usher' } }, /both set \(apps, identity_providers, public_url\)\.\s+Write the whole config in one/],
      'no public_url': ['proxy', { config: { public_url: undefined } }, /config\.public_url is not set\.\s+Write what the browser sees/],
      'no identity provider': ['proxy', { config: { identity_providers: [] } }, /config\.identity_providers is empty\.\s+Write at least one/],
      'no app': ['proxy', { config: { apps: undefined } }, /config\.apps is empty\.\s+Write at least one/],
      'a public_url of plain http': ['proxy', { config: { public_url: 'http://wiki.example' } }, /public_url http:\/\/wiki\.example is plain http\.\s+Write https:\/\/wiki\.example/],
      "an app's public_url of plain http": ['proxy', { config: { apps: [{ id: 'wiki', upstream: 'http://wiki.default.svc:3000', public_url: 'http://localhost.example' }] } }, /public_url http:\/\/localhost\.example is plain http/],
      'several replicas on SQLite': ['proxy', { replicaCount: 2 }, /replicaCount is 2, but SQLite and memory belong to one pod.*\s+Write replicaCount: 1/],
      'several replicas on memory': ['proxy', { replicaCount: 2, persistence: { enabled: false } }, /replicaCount is 2, but SQLite and memory/],
      'several replicas on a config that the chart cannot read': ['proxy-existing-config', { replicaCount: 3 }, /replicaCount is 3, but the chart cannot see/],
      'an HPA on SQLite': ['proxy', { autoscaling: { enabled: true } }, /autoscaling\.enabled is true, but SQLite.*\s+Write autoscaling\.enabled: false/],
      'a rolling update over SQLite': ['proxy', { strategy: { type: 'RollingUpdate' } }, /strategy\.type is RollingUpdate.*\s+Leave strategy empty/],
      'a budget that blocks every drain': ['proxy', { podDisruptionBudget: { enabled: true, minAvailable: 1 } }, /minAvailable is 1 of 1 pods.*\s+Write podDisruptionBudget\.maxUnavailable: 1/],
      'a budget of all pods': ['proxy', { podDisruptionBudget: { enabled: true, minAvailable: '100%' } }, /minAvailable is 100% of 1 pods/],
      'trust in everybody': ['proxy', { config: { trusted_proxies: ['10.0.0.0/8', '0.0.0.0/0'] } }, /config\.trusted_proxies has 0\.0\.0\.0\/0, so everybody.*\s+Write the network/],
      'a client secret as text': ['proxy', { config: { identity_providers: [{ id: 'acme', oidc: { issuer: 'https://login.acme.example', client_id: 'usher', client_secret: 'hunter2' } }] } }, /config\.identity_providers\[0\]\.oidc\.client_secret is written as text.*\s+Write \{ env: NAME \}/],
      'a webhook secret as text in a list': ['proxy', { config: { apps: [{ id: 'wiki', upstream: 'http://wiki.default.svc:3000', provisioning: { callback: { url: 'http://wiki.default.svc:3000/users', secret: ['whsec_AAAA'] } } }] } }, /config\.apps\[0\]\.provisioning\.callback\.secret is written as text/],
      'a key that seals as text': ['proxy', { config: { keys: { seal: ['0123456789abcdef0123456789abcdef'] } } }, /config\.keys\.seal is written as text/],
      "a SAML key as text": ['proxy', { config: { keys: { saml: [{ certificate: { file: '/sp.crt' }, key: '-----BEGIN PRIVATE KEY-----' }] } } }, /config\.keys\.saml\[0\]\.key is written as text/],
      'a mail password as text': ['proxy', { config: { mail: { url: 'smtps://usher:hunter2@mail.corp.example' } } }, /config\.mail\.url is written as text with a password/],
      'a mail password as text, in short': ['proxy', { config: { mail: 'smtps://usher:hunter2@mail.corp.example' } }, /config\.mail is written as text with a password/],
      'a store on the read-only disk': ['proxy', { config: { store: 'sqlite:/data/usher.db' } }, /config\.store is \/data\/usher\.db, where nothing can be written.*\s+Write a path below \/var\/lib\/usher/],
      'a store without its volume': ['proxy', { config: { store: 'sqlite:/var/lib/usher/usher.db' }, persistence: { enabled: false } }, /config\.store is \/var\/lib\/usher\/usher\.db, where nothing can be written/],
      'an audit file on the read-only disk': ['proxy', { config: { audit: { file: '/var/log/usher/audit.jsonl' } } }, /config\.audit\.file is \/var\/log\/usher\/audit\.jsonl, where nothing/],
      'an exposed admin listener': ['proxy', { config: { admin: { listen: '0.0.0.0:4181', token: { env: 'T' } } } }, /config\.admin\.listen is 0\.0\.0\.0:4181, where every pod.*\s+Write 127\.0\.0\.1:4181/],
      'an admin Service without an admin listener': ['proxy', { admin: { service: { enabled: true } } }, /there is no config\.admin\.\s+Write config\.admin/],
      'an admin Service to a listener on loopback': ['proxy', { config: { admin: { listen: '127.0.0.1:4181', token: { env: 'T' } } }, admin: { service: { enabled: true } } }, /which no Service reaches\.\s+Leave config\.admin\.listen out/],
      'a listener on loopback': ['proxy', { config: { listen: '127.0.0.1:4180' } }, /config\.listen is 127\.0\.0\.1:4180, which neither.*\s+Leave it out/],
      'metrics on loopback': ['proxy', { config: { metrics: { listen: '127.0.0.1:4182' } } }, /config\.metrics\.listen is 127\.0\.0\.1:4182/],
      'a proxy without an upstream': ['proxy', { config: { apps: [{ id: 'wiki' }] } }, /the app "wiki" has no upstream\.\s+Write the address of its Service/],
      'a proxy to its own pod': ['proxy', { config: { apps: [{ id: 'wiki', upstream: 'http://127.0.0.1:3000' }] } }, /which is usher's own pod\.\s+Write the address of its Service/],
      'a sidecar without an app beside it': ['sidecar', { config: { apps: [{ id: 'wiki', upstream: 'http://wiki.default.svc:3000' }] } }, /no config\.apps\[\]\.upstream is in this pod\.\s+Write http:\/\/127/],
      'a sidecar of no pods': ['sidecar', { sidecar: { podLabels: undefined } }, /sidecar\.podLabels is empty.*\s+Write the labels/],
      'a workload without a container': ['sidecar-workload', { sidecar: { workload: { container: { name: '', image: '' } } } }, /there is no container\.\s+Write sidecar\.workload\.container/],
      'forward-auth that trusts nobody': ['forward-auth-istio', { config: { trusted_proxies: [] } }, /config\.trusted_proxies is empty.*\s+Write the networks/],
      'forward-auth with an upstream': ['forward-auth-istio', { config: { apps: [{ id: 'wiki', upstream: 'http://wiki.default.svc:3000' }] } }, /the app "wiki" has an upstream.*\s+Leave upstream out/],
      'Envoy Gateway without a route': ['forward-auth-own-routes', { forwardAuth: { envoyGateway: { targetRefs: [] } } }, /there is no route to protect\.\s+Write forwardAuth\.apps/],
      'routes past usher': ['forward-auth-envoy-gateway', { forwardAuth: { envoyGateway: { enabled: false } } }, /would go to the apps without asking usher\.\s+Write forwardAuth\.envoyGateway/],
      'apps that nothing leads to': ['forward-auth-traefik', { forwardAuth: { traefik: { enabled: false } } }, /forwardAuth\.apps is set, but nothing routes to them\.\s+Write gatewayApi\.enabled/],
      'ingress-nginx without apps': ['forward-auth-ingress-nginx', { forwardAuth: { apps: [] } }, /forwardAuth\.apps is empty\.\s+Write the app's host/],
      'fields of an unknown preset': ['forward-auth-traefik', { config: { apps: [{ id: 'wiki', headers: { preset: 'nonesuch' } }] } }, /does not know which fields the preset "nonesuch" sends\.\s+Write their names/],
      'forward-auth in another mode': ['proxy', { forwardAuth: { traefik: { enabled: true } } }, /forwardAuth is set, but mode is proxy\.\s+Write mode: forwardAuth/],
      'an HTTPRoute without a Gateway': ['proxy', { gatewayApi: { enabled: true } }, /gatewayApi\.gatewayRef\.name is not set\.\s+Write the name/],
      'an Ingress without hosts': ['proxy-existing-config', { ingress: { hosts: [] } }, /ingress\.hosts is empty.*\s+Write them/],
      'an HTTPRoute without hosts': ['proxy-existing-config', { gatewayApi: gateway }, /gatewayApi\.hostnames is empty.*\s+Write them/],
    };
    for (const [title, [base, values, sentence]] of Object.entries(cases)) {
      test(title, async () => {
        await assert.rejects(template(await over(base, values)), (error) => {
          assert.match(error.message, sentence);
          return true;
        });
      });
    }
  });

  test('what only looks like nonsense is taken', async () => {
    for (const [base, values] of [
      ['proxy', { config: { public_url: 'http://localhost:4180' } }],
      ['proxy', { config: { mail: 'smtp://relay:25' } }],
      ['proxy', { podDisruptionBudget: { enabled: true, minAvailable: 0 } }],
      ['proxy', { config: { admin: { token: { env: 'T' } } } }],
      ['proxy', { config: { apps: [{ id: 'wiki', upstream: 'http://127.0.0.1:3000' }] }, extraContainers: [{ name: 'wiki', image: 'registry.corp.example/wiki:7' }] }],
      ['sidecar', { config: { apps: [{ id: 'wiki', upstream: 'unix:/run/wiki.sock' }] } }],
      ['forward-auth-traefik', { config: { apps: [{ id: 'wiki', headers: { preset: 'nonesuch' } }] }, forwardAuth: { responseHeaders: ['X-User'] } }],
    ]) {
      await template(await over(base, values));
    }
  });

  test('the schema of the values knows every key of a config, and no other', async () => {
    const keys = (schema) => Object.keys(schema.properties).sort();
    const values = JSON.parse(await fs.readFile(path.join(chart, 'values.schema.json'), 'utf8'));
    const config = JSON.parse(await run(usherBinary, ['schema']));
    // `existingConfig` is the chart's own: a ConfigMap that is there already.
    assert.deepEqual(keys(values.properties.config).filter((key) => key !== 'existingConfig'), keys(config));
  });

  test('the schema of the values refuses typos and wrong types', async () => {
    for (const [values, sentence] of [
      [{ replicas: 1 }, /replicas/],
      [{ config: { public_uri: 'https://wiki.example' } }, /public_uri/],
      [{ persistence: { enable: true } }, /enable/],
      [{ metrics: { serviceMonitor: { enabled: 'yes' } } }, /enabled.*boolean|boolean/s],
      [{ service: { port: 0 } }, /port|minimum/],
      [{ forwardAuth: { apps: [{ host: 'wiki.example' }] } }, /service/],
      [{ image: { digest: 'latest' } }, /digest|pattern/],
      [{ livenessProbe: { httpGet: { path: '/' } } }, /httpGet/],
      [{ extraEnv: [{ nam: 'A' }] }, /nam/],
      [{ persistence: { accessModes: ['ReadOnlyMany'] } }, /accessModes/],
      [{ service: { spec: { selector: { app: 'wiki' } } } }, /selector/],
    ]) {
      await assert.rejects(template(await over('proxy', values)), (error) => {
        assert.match(error.message, /values don't meet the specifications of the schema/);
        assert.match(error.message, sentence);
        return true;
      });
    }
  });

  test('another config makes other pods, and the same config the same', async () => {
    const checksum = async (more) => only(await documents(await template(await over('proxy', more))), 'Deployment').spec.template.metadata.annotations['checksum/config'];
    assert.equal(await checksum({}), await checksum({ replicaCount: 1 }));
    assert.notEqual(await checksum({}), await checksum({ config: { sessions: { idle_for: '1h' } } }));
  });

  test('one pod with SQLite is replaced, never doubled; pods that share a store roll', async () => {
    const strategy = async (more) => only(await documents(await template(await over('proxy', more))), 'Deployment').spec.strategy.type;
    assert.equal(await strategy({}), 'Recreate');
    assert.equal(await strategy({ persistence: { enabled: false } }), 'Recreate');
    assert.equal(await strategy({ config: { store: 'postgres://db/usher' }, replicaCount: 2 }), 'RollingUpdate');
  });

  test('a sidecar, which ends after the app, waits for nothing unless told to', async () => {
    const timeouts = async (name, more) => (await documents(only(await documents(await template(await over(name, more))), 'ConfigMap').data['usher.yaml']))[0].timeouts;
    assert.deepEqual(await timeouts('sidecar', { config: { timeouts: { drain: '9s' } } }), { drain: '9s', linger: 'none' });
    assert.deepEqual(await timeouts('sidecar', { config: { timeouts: { linger: '2s' } } }), { linger: '2s' });
    assert.equal(await timeouts('proxy', {}), undefined);
  });

  test('numbers of the config are written as they were', async () => {
    const text = await template(await over('proxy', { config: { limits: { headers: 12345678 } } }));
    assert.match(text, /headers: 12345678\n/);
  });

  test('a null takes the user away, for clusters that give each container one of their own', async () => {
    const without = { runAsUser: null, runAsGroup: null };
    const { spec } = only(await documents(await template(await over('proxy', { podSecurityContext: { ...without, fsGroup: null }, securityContext: without }))), 'Deployment').spec.template;
    assert.deepEqual(Object.keys(spec.securityContext).sort(), ['fsGroupChangePolicy', 'runAsNonRoot', 'seccompProfile']);
    assert.ok(!Object.keys(spec.containers[0].securityContext).some((key) => /^runAs(User|Group)$/.test(key)));
  });

  test('with a network policy nobody gets past usher to the app in its pod', async () => {
    const list = await documents(await template(path.join(chart, 'ci/sidecar-values.yaml')));
    const policy = only(list, 'NetworkPolicy');
    assert.deepEqual(policy.spec.podSelector.matchLabels, { app: 'wiki' });
    assert.deepEqual(policy.spec.ingress.flatMap(({ ports }) => ports.map(({ port }) => port)), [4180, 4182]);
    for (const service of kinds(list, 'Service')) assert.deepEqual(service.spec.selector, { app: 'wiki' });
    assert.equal(kinds(list, 'Deployment').length + kinds(list, 'ServiceAccount').length, 0);
  });

  test('a network policy that lets only some read the metrics lets the pod of `helm test` too', async () => {
    const list = await documents(await template(path.join(chart, 'ci/proxy-full-values.yaml')));
    const rule = only(list, 'NetworkPolicy').spec.ingress.find(({ ports }) => ports[0].port === 4182);
    const pod = only(list, 'Pod').metadata.labels;
    const selectors = rule.from.flatMap(({ podSelector }) => podSelector ? [Object.entries(podSelector.matchLabels)] : []);
    assert.ok(rule.from.length === 2 && selectors.some((labels) => labels.every(([name, value]) => pod[name] === value)), JSON.stringify(rule));
  });

  test('a gateway copies every field that the presets of the apps send', async () => {
    const list = await documents(await template(path.join(chart, 'ci/forward-auth-envoy-gateway-values.yaml')));
    const { extAuth, targetRefs } = only(list, 'SecurityPolicy').spec;
    for (const name of ['X-Forwarded-User', 'X-Usher-Jwt', 'X-Webauth-Role', 'X-User']) assert.ok(extAuth.http.headersToBackend.includes(name), name);
    assert.equal(extAuth.failOpen, false);
    assert.ok(extAuth.headersToExtAuth.includes('cookie'));
    const routes = kinds(list, 'HTTPRoute').map(({ metadata, spec }) => [metadata.name, spec.rules[0].matches?.[0].path.value]);
    assert.deepEqual(routes, [['wiki-usher', '/_usher'], ['wiki-usher-wiki-example', undefined], ['wiki-usher-grafana-example', undefined]]);
    assert.deepEqual(targetRefs.map(({ name }) => name), ['wiki-usher-wiki-example', 'wiki-usher-grafana-example']);
  });

  test('the fields that a gateway copies are those that usher answers with, for every preset', { timeout: 180_000 }, async () => {
    const schema = JSON.parse(await run(usherBinary, ['schema']));
    const presets = [...JSON.stringify(schema).matchAll(/"enum":(\[[^\]]*"remote-user"[^\]]*\])/g)].flatMap(([, list]) => JSON.parse(list));
    assert.ok(presets.length >= 4 && presets.includes('usher'), `${presets}`);
    const headers = Object.fromEntries([...presets.map((preset) => [preset, { preset }]), ['own', { map: { 'X-Person': 'user', 'X-Teams': 'groups' } }]]);
    const [port, metrics] = [await freePort(), await freePort()];
    const config = {
      public_url: `http://localhost:${port}`,
      trusted_proxies: ['127.0.0.1/32'],
      store: 'memory',
      identity_providers: [{ id: 'acme', oidc: { issuer: 'http://127.0.0.1:9', client_id: 'usher', client_auth: 'none' } }],
      apps: Object.entries(headers).map(([id, how]) => ({ id, path: `/${id}`, headers: how, access: [{ allow: 'anyone' }] })),
    };
    const table = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'table' }, data: { table: '{{ include "usher.presets" . | fromYaml | toJson }}' } };
    const values = await over('forward-auth-traefik', { config, containerPorts: { http: port, metrics }, persistence: { enabled: false }, extraObjects: [table] });
    const list = await documents(await template(values));
    const maps = kinds(list, 'ConfigMap').map(({ data }) => data);
    const known = JSON.parse(maps.find((data) => data.table).table);
    assert.deepEqual(Object.keys(known).sort(), [...presets].sort());
    const file = path.join(await temporary('presets'), 'usher.yaml');
    await fs.writeFile(file, maps.find((data) => data['usher.yaml'])['usher.yaml'].replaceAll('0.0.0.0', '127.0.0.1'));
    const usher = new Child('presets', usherBinary, ['run', '--config', file]);
    try {
      const all = new Set();
      for (const [id, how] of Object.entries(headers)) {
        const described = { 'x-forwarded-method': 'GET', 'x-forwarded-uri': `/${id}/page`, 'x-forwarded-host': `localhost:${port}`, 'x-forwarded-proto': 'http' };
        const answer = await until('usher answers', async () => {
          usher.mustRun();
          return request(`http://127.0.0.1:${port}/_usher/forward-auth`, { headers: described });
        });
        assert.equal(answer.status, 200, `${id}: ${answer.text}`);
        const sent = Object.keys(answer.headers).filter((name) => answer.headers[name] === '');
        const copied = [...known[id] ?? Object.keys(how.map), 'X-Usher-Groups-Overage'];
        assert.deepEqual(copied.map((name) => name.toLowerCase()).sort(), sent.sort(), id);
        for (const name of sent) all.add(name);
      }
      const both = only(list, 'Middleware').spec.forwardAuth.authResponseHeaders.map((name) => name.toLowerCase());
      assert.deepEqual(both.sort(), [...all].sort());
    } finally {
      await usher.kill();
    }
  });

  test("usher's endpoints for gateways are not led to from the outside", async () => {
    const questions = ['/_usher/auth', '/_usher/forward-auth', '/_usher/ext-authz'];
    const of = async (name) => documents(await template(path.join(chart, 'ci', `forward-auth-${name}-values.yaml`)));
    for (const name of ['envoy-gateway', 'own-routes']) {
      const list = await of(name);
      const route = kinds(list, 'HTTPRoute').find(({ metadata }) => metadata.name === 'wiki-usher');
      const away = route.spec.rules.find(({ filters }) => filters?.[0].extensionRef.name === only(list, 'HTTPRouteFilter').metadata.name);
      assert.deepEqual(away.matches.map((match) => match.path.value), questions);
      assert.equal(away.backendRefs, undefined);
    }
    const [own] = only(await of('traefik'), 'IngressRoute').spec.routes;
    const without = new RegExp(/!PathRegexp\(`(.*)`\)/.exec(own.match)[1]);
    for (const path of questions) assert.ok(without.test(path) && without.test(`${path}/x`), path);
    assert.ok(!without.test('/_usher/oidc/acme/callback') && !without.test('/_usher/authority'));
    const deny = kinds(await of('istio'), 'AuthorizationPolicy').find(({ spec }) => spec.action === 'DENY');
    assert.deepEqual(deny.spec.rules[0].to[0].operation.paths, questions.flatMap((path) => [path, `${path}/*`]));
    const nginx = kinds(await of('ingress-nginx'), 'Ingress').find(({ metadata }) => metadata.annotations?.['nginx.ingress.kubernetes.io/auth-url']);
    const paths = nginx.spec.rules[0].http.paths;
    assert.deepEqual(paths.map((one) => one.path), ['/', ...questions]);
    assert.ok(paths.every(({ backend }) => backend.service.name === 'wiki'));
  });

  test('the alerts are those of files/alerts.yaml, but for those that are left out', async () => {
    const [source] = await documents(await fs.readFile(path.join(chart, 'files/alerts.yaml'), 'utf8'));
    const rule = only(await documents(await template(path.join(chart, 'ci/proxy-full-values.yaml'))), 'PrometheusRule');
    const names = rule.spec.groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
    const wanted = source.groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
    assert.deepEqual(names, [...wanted.filter((name) => name !== 'UsherSlow'), 'UsherQuiet']);
    const whole = only(await documents(await template(await over('proxy', { metrics: { prometheusRule: { enabled: true } } }))), 'PrometheusRule');
    assert.deepEqual(whole.spec.groups, source.groups);
  });

  test('the dashboard reaches Grafana as it is', async () => {
    const list = await documents(await template(path.join(chart, 'ci/proxy-full-values.yaml')));
    const map = kinds(list, 'ConfigMap').find(({ metadata }) => metadata.labels?.grafana_dashboard === '1');
    assert.deepEqual(JSON.parse(map.data['usher.json']), JSON.parse(await fs.readFile(path.join(chart, 'dashboards/usher.json'), 'utf8')));
    assert.equal(map.metadata.namespace, 'monitoring');
  });

  test('the notes name what to register at the identity providers', async () => {
    const notes = await template(path.join(chart, 'ci/proxy-full-values.yaml'), { notes: true });
    for (const line of [
      'https://wiki.example/_usher/oidc/acme/callback', 'https://reports.example/_usher/oidc/acme/callback',
      'https://wiki.example/_usher/saml/globex/acs', 'https://wiki.example/_usher/saml/globex/metadata',
    ]) assert.ok(notes.includes(line), `${line} in\n${notes}`);
    const istio = await template(path.join(chart, 'ci/forward-auth-istio-values.yaml'), { notes: true });
    assert.match(istio, /pathPrefix: \/_usher\/ext-authz/);
  });

  test('the README is what helm-docs makes of the values', async () => {
    const made = await helmDocs();
    assert.equal(made.code, 0, made.err);
    assert.equal(await fs.readFile(path.join(chart, 'README.md'), 'utf8'), made.out);
  });

  test('a pod rendered from the example signs somebody in and gives them an account', { timeout: 120_000 }, async () => {
    const app = new App({ secret: webhookSecret() });
    const peer = new OidcProvider();
    await Promise.all([app.start(), peer.start()]);
    const [http, metrics] = [await freePort(), await freePort()];
    const origin = `http://localhost:${http}`;
    await peer.register([origin]);
    let usher;
    try {
      const { usher: values } = (await documents(await fs.readFile(path.join(example, 'values.yaml'), 'utf8')))[0];
      const [wiki] = values.config.apps;
      Object.assign(wiki, { upstream: app.origin });
      wiki.provisioning.callback.url = `${app.origin}/internal/users`;
      Object.assign(values.config.identity_providers[0].oidc, { issuer: peer.issuer, client_id: peer.clientId });
      values.config.public_url = origin;
      values.containerPorts = { http, metrics };
      const list = await documents(await template({ usher: values }, { of: await exampleWithUsher() }));
      const pod = only(list, 'Deployment').spec.template;
      const container = pod.spec.initContainers.find(({ name }) => name === 'usher');
      assert.equal(container.restartPolicy, 'Always');
      assert.ok(container.startupProbe && !pod.spec.containers.some(({ name }) => name === 'usher'));
      assert.deepEqual(container.envFrom, [{ secretRef: { name: 'wiki-sso' } }]);
      const volume = pod.spec.volumes.find(({ name }) => name === container.volumeMounts.find(({ mountPath }) => mountPath === '/etc/usher').name);
      const map = kinds(list, 'ConfigMap').find(({ metadata }) => metadata.name === volume.configMap.name);
      const folder = await temporary('pod');
      // The paths of the container are folders of ours, and all servers stay on loopback.
      const config = map.data['usher.yaml'].replaceAll('/var/lib/usher', folder).replaceAll('0.0.0.0', '127.0.0.1');
      await fs.writeFile(path.join(folder, 'usher.yaml'), config);
      const args = container.args.map((word) => word.replace('/etc/usher', folder));
      const env = { PATH: process.env.PATH, ACME_SECRET: peer.clientSecret, HOOK_SECRET: app.secret };
      usher = new Child('pod', usherBinary, args, { env });
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
        const { path: asked, port } = container[probe].httpGet;
        const { containerPort } = container.ports.find(({ name }) => name === port);
        await until(`${probe} of the pod`, async () => {
          usher.mustRun();
          return (await request(`http://127.0.0.1:${containerPort}${asked}`)).status === 200;
        });
      }
      const [service] = kinds(list, 'Service').filter(({ metadata }) => !metadata.labels['app.kubernetes.io/component']);
      const target = container.ports.find(({ name }) => name === service.spec.ports[0].targetPort);
      assert.equal(target.containerPort, http);
      for (const [name, value] of Object.entries(service.spec.selector)) assert.equal(pod.metadata.labels[name], value);

      const person = new Person();
      const page = await person.open(`${origin}/docs`);
      assert.ok(peer.isSignInPage(page), `${page.status} ${page.url}`);
      const end = await peer.submitSignIn(person, page, 'ann');
      assert.equal(end.json.url, '/docs');
      assert.equal(end.json.headers['x-forwarded-email'], 'ann@acme.example');
      assert.equal(end.json.headers['x-forwarded-roles'], 'editor,admin');
      assert.equal(app.eventsOf('ann@acme.example', 'user.created').length, 1);
      assert.deepEqual(app.problems, []);

      const hook = kinds(list, 'Pod')[0];
      assert.equal(hook.metadata.annotations['helm.sh/hook'], 'test');
      const asks = hook.spec.containers[0].args.map((word) => word.replace(/http:\/\/[^/]+/, `http://127.0.0.1:${metrics}`));
      assert.notDeepEqual(asks, hook.spec.containers[0].args);
      assert.match(await run(usherBinary, asks), /ready/);
      await usher.kill();
      await assert.rejects(run(usherBinary, asks), /ended with 1/);
    } finally {
      await usher?.kill();
      await Promise.allSettled([peer.stop(), app.stop()]);
    }
  });
});
