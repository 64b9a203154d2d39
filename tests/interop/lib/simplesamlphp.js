// SimpleSAMLphp as Debian packages it, served by PHP's own web server from a config that is made here.
import fs from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { request } from './http.js';
import { keyPair } from './key-pair.js';
import { work } from './places.js';
import { Child, freePort, until } from './processes.js';

const code = '/usr/share/simplesamlphp';
const PASSWORD = (name) => `${name}-password`;

/** A JSON value as a PHP literal. */
function php(value) {
  if (Array.isArray(value)) return `[${value.map(php).join(', ')}]`;
  if (value && typeof value === 'object') return `[${Object.entries(value).map(([key, one]) => `${/^\d+$/.test(key) ? key : php(key)} => ${php(one)}`).join(', ')}]`;
  if (typeof value === 'string') return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  return String(value);
}

export class SimpleSamlPhp {
  name = 'SimpleSAMLphp';
  people = {};
  #services = {};

  async start() {
    if (!existsSync(`${code}/www/saml2/idp/SSOService.php`)) throw new Error('SimpleSAMLphp is missing: apt-get install simplesamlphp php-cli php-xml');
    await fs.mkdir(path.join(work, 'runs'), { recursive: true });
    this.folder = await fs.mkdtemp(path.join(work, 'runs', 'simplesamlphp-'));
    this.port = await freePort();
    this.origin = `http://127.0.0.1:${this.port}`;
    this.metadataUrl = `${this.origin}/saml2/idp/metadata.php`;
    this.entityId = this.metadataUrl;
    for (const folder of ['metadata', 'sessions', 'log', 'data', 'temp', 'cert']) await fs.mkdir(path.join(this.folder, folder));
    this.keys = await keyPair(path.join(this.folder, 'cert'), 'idp');
    /** What signs the metadata document itself. */
    this.metadataKeys = await keyPair(path.join(this.folder, 'cert'), 'metadata');
    await this.#configure();
    await this.#writeServices();
    await this.writePeople({});
    this.child = new Child('simplesamlphp', 'php', [
      '-d', 'error_reporting=22527', '-d', 'display_errors=0', '-d', 'opcache.enable_cli=1', '-d', `opcache.revalidate_freq=0`,
      '-S', `127.0.0.1:${this.port}`, '-t', `${code}/www`,
    ], { env: { ...process.env, SIMPLESAMLPHP_CONFIG_DIR: this.folder, PHP_CLI_SERVER_WORKERS: '3' }, detached: true });
    await until('SimpleSAMLphp is ready', async () => {
      this.child.mustRun();
      return (await request(this.metadataUrl)).status === 200;
    }, { within: 20_000, every: 200 });
  }

  async stop() {
    if (!this.child) return;
    // PHP's workers are processes of their own.
    try {
      process.kill(-this.child.pid, 'SIGTERM');
    } catch {
      // It has ended already.
    }
    await this.child.exit;
  }

  /** Adds people: `{ login: { mail: […], cn: […], groups: […], … } }`. The password of `ann` is `ann-password`. */
  async writePeople(people) {
    this.people = { ...this.people, ...people };
    const source = { 0: 'exampleauth:UserPass' };
    for (const [login, attributes] of Object.entries(this.people)) {
      source[`${login}:${PASSWORD(login)}`] = Object.fromEntries(Object.entries({ uid: login, ...attributes }).map(([key, value]) => [key, [value].flat()]));
    }
    await this.#write('authsources.php', `$config = ${php({ people: source })};`);
  }

  /** Registers an SP by its metadata document; `more` adds to or replaces what SimpleSAMLphp reads from it. */
  async register({ metadata, entityId }, more = {}) {
    const file = path.join(this.folder, `sp-${Object.keys(this.#services).length}.xml`);
    await fs.writeFile(file, metadata);
    this.#services[entityId] = { file, more };
    await this.#writeServices();
  }

  isSignInPage(page) {
    return page.url.startsWith(this.origin) && page.text.includes('name="username"') && page.text.includes('name="AuthState"');
  }

  async submitSignIn(person, page, name, password = PASSWORD(name)) {
    return person.submit(page, { username: name, password }, { action: '' });
  }

  /** Where a person starts at this IdP's portal to come to that SP. */
  portal(entityId, relayState) {
    const query = new URLSearchParams({ spentityid: entityId, ...(relayState === undefined ? {} : { RelayState: relayState }) });
    return `${this.origin}/saml2/idp/SSOService.php?${query}`;
  }

  /** Where a person signs out of this IdP and of every SP. */
  get signOutUrl() {
    return `${this.origin}/saml2/idp/initSLO.php?${new URLSearchParams({ RelayState: `${this.origin}/logout.php` })}`;
  }

  async #write(file, body) {
    await fs.writeFile(path.join(this.folder, file), `<?php\n${body}\n`);
  }

  async #configure() {
    await this.#write('config.php', `$config = ${php({
      baseurlpath: `${this.origin}/`,
      certdir: path.join(this.folder, 'cert/'),
      loggingdir: path.join(this.folder, 'log/'),
      datadir: path.join(this.folder, 'data/'),
      tempdir: path.join(this.folder, 'temp'),
      'logging.handler': 'errorlog',
      'logging.level': 5,
      secretsalt: 'only-for-this-suite',
      'auth.adminpassword': 'only-for-this-suite',
      'technicalcontact_name': 'Interop',
      'technicalcontact_email': 'interop@acme.example',
      timezone: 'UTC',
      language: {},
      'language.default': 'en',
      'enable.saml20-idp': true,
      'module.enable': { exampleauth: true },
      'store.type': 'phpsession',
      'session.phpsession.savepath': path.join(this.folder, 'sessions'),
      'session.cookie.secure': false,
      'session.cookie.samesite': 'Lax',
      'trusted.url.domains': [`127.0.0.1:${this.port}`],
      'metadata.sources': [{ type: 'flatfile', directory: path.join(this.folder, 'metadata') }],
      'metadata.sign.enable': true,
      'metadata.sign.privatekey': 'metadata.key',
      'metadata.sign.certificate': 'metadata.crt',
      'metadata.sign.algorithm': 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
      'authproc.idp': {
        10: { class: 'saml:PersistentNameID', attribute: 'uid' },
        11: { class: 'saml:AttributeNameID', attribute: 'mail', Format: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress' },
      },
    })};`);
    await this.#write('metadata/saml20-idp-hosted.php', `$metadata['__DYNAMIC:1__'] = ${php({
      host: '__DEFAULT__',
      privatekey: 'idp.key',
      certificate: 'idp.crt',
      auth: 'people',
      'signature.algorithm': 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
      NameIDFormat: [
        'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
        'urn:oasis:names:tc:SAML:2.0:nameid-format:transient',
        'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
      ],
      'redirect.sign': true,
      'validate.authnrequest': true,
      'validate.logout': true,
    })};`);
  }

  async #writeServices() {
    const entries = Object.entries(this.#services).map(([entityId, { file, more }]) => `
foreach (\\SimpleSAML\\Metadata\\SAMLParser::parseDescriptorsFile(${php(file)}) as $parser) {
    $metadata[${php(entityId)}] = array_merge($parser->getMetadata20SP(), ${php(more)});
}`);
    await this.#write('metadata/saml20-sp-remote.php', entries.join('\n'));
  }
}
