// crewjam's samlidp, a small SAML IdP in Go, built from `samlidp/`.
import fs from 'node:fs/promises';
import path from 'node:path';
import { forms, request } from './http.js';
import { suite, work } from './places.js';
import { Child, freePort, run, until } from './processes.js';
import { FORMAT } from './saml.js';

const binary = path.join(work, 'samlidp');

export const RSA_SHA1 = 'http://www.w3.org/2000/09/xmldsig#rsa-sha1';
const SETTINGS = {
  signature_method: 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
  name_id_format: FORMAT.persistent,
  name_id: 'user',
};

export class SamlIdp {
  name = 'samlidp';

  async start() {
    await fs.mkdir(work, { recursive: true });
    await run('go', ['build', '-o', binary, '.'], { cwd: path.join(suite, 'samlidp') });
    this.port = await freePort();
    this.origin = `http://127.0.0.1:${this.port}`;
    this.metadataUrl = `${this.origin}/metadata`;
    this.entityId = this.metadataUrl;
    this.child = new Child('samlidp', binary, ['-listen', `127.0.0.1:${this.port}`, '-url', this.origin]);
    await until('samlidp is ready', async () => {
      this.child.mustRun();
      return (await request(this.metadataUrl)).status === 200;
    });
  }

  async stop() {
    await this.child?.kill();
  }

  /** `{ email, common_name, given_name, surname, groups }`. The password of `ann` is `ann-password`. */
  async addPerson(login, person) {
    await this.#put(`/users/${login}`, { json: { password: `${login}-password`, ...person } });
  }

  /** Registers an SP by its metadata document. Where that has a certificate for encryption, samlidp encrypts. */
  async register({ metadata, idp }) {
    await this.#put(`/services/${idp}`, { body: metadata });
  }

  /** A portal link: whoever opens it comes to that SP with this RelayState. */
  async addShortcut(name, entityId, relayState) {
    await this.#put(`/shortcuts/${name}`, { json: { service_provider: entityId, ...(relayState === undefined ? {} : { relay_state: relayState }) } });
    return `${this.origin}/login/${name}`;
  }

  /** How assertions are signed and name the user, until the next call. */
  async settings(changes = {}) {
    await this.#put('/settings', { json: { ...SETTINGS, ...changes } });
  }

  isSignInPage(page) {
    return page.url.startsWith(this.origin) && page.text.includes('name="password"');
  }

  /** Its form posts to /login, which answers with the session alone: what led here has to be asked again. */
  async submitSignIn(person, page, name, password = `${name}-password`) {
    const [{ fields: { SAMLRequest, RelayState } }] = forms(page);
    const answer = await person.submit(page, { user: name, password });
    if (this.isSignInPage(answer)) return answer;
    const posted = SAMLRequest && !new URL(page.url).search;
    return person.open(page.url, posted ? { method: 'POST', form: { SAMLRequest, RelayState }, from: 'same-origin' } : {});
  }

  async #put(at, what) {
    const answer = await request(this.origin + at, { method: 'PUT', ...what });
    if (answer.status >= 300) throw new Error(`PUT ${at}: ${answer.status} ${answer.text}\n${this.child.output.slice(-1000)}`);
  }
}
