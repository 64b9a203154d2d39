// Keycloak as a SAML IdP: the realm `acme` with one SAML client for each of usher's IdP ids.
import { randomUUID } from 'node:crypto';
import { request } from './http.js';
import { Keycloak } from './keycloak.js';
import { FORMAT, oneLine, readMetadata } from './saml.js';

const BASIC = 'Basic';
const URI = 'URI Reference';

/** Attributes by short names, as an admin adds them by hand. */
export const PLAIN_MAPPERS = [
  property('email', 'email', BASIC),
  property('firstName', 'givenName', BASIC),
  property('lastName', 'surname', BASIC),
  property('username', 'username', BASIC),
  groups('groups', { single: false }),
];

/** Attributes by the names that Keycloak's own predefined mappers give: OIDs with friendly names. */
export const X500_MAPPERS = [
  property('email', 'urn:oid:1.2.840.113549.1.9.1', URI, 'email'),
  property('firstName', 'urn:oid:2.5.4.42', URI, 'givenName'),
  property('lastName', 'urn:oid:2.5.4.4', URI, 'surname'),
  property('username', 'username', BASIC),
  groups('member', { single: true }),
];

function property(from, name, format, friendly = '') {
  return {
    name: `property ${from}`,
    protocol: 'saml',
    protocolMapper: 'saml-user-property-mapper',
    config: { 'user.attribute': from, 'attribute.name': name, 'attribute.nameformat': format, 'friendly.name': friendly },
  };
}

/** `single`: one attribute with many values; else one attribute of that name for each group, which Keycloak does by default. */
function groups(name, { single }) {
  return {
    name: 'group membership',
    protocol: 'saml',
    protocolMapper: 'saml-group-membership-mapper',
    config: { 'attribute.name': name, 'attribute.nameformat': BASIC, single: String(single), 'full.path': 'false' },
  };
}

export class KeycloakSaml extends Keycloak {
  get metadataUrl() {
    return `${this.issuer}/protocol/saml/descriptor`;
  }

  get entityId() {
    return this.issuer;
  }

  async descriptor() {
    return readMetadata((await request(this.metadataUrl)).text);
  }

  /** Makes a user of the realm; the password of `ann` is `ann-password`. */
  async addPerson(username, { email, firstName, lastName, groups: wanted = [] }) {
    await this.admin('POST', '/users', {
      username, email, firstName, lastName, enabled: true, emailVerified: true, groups: wanted.map((group) => `/${group}`),
      credentials: [{ type: 'password', value: `${username}-password`, temporary: false }],
    });
  }

  /**
   * Imports an SP's metadata document as Keycloak's admin console does, with `attributes` of the client changed after that.
   * Gives the client as Keycloak keeps it.
   */
  async registerSp({ metadata, idp }, { attributes = {}, mappers = PLAIN_MAPPERS, frontchannelLogout = true } = {}) {
    const imported = await this.admin('POST', '/client-description-converter', undefined, metadata);
    const client = {
      ...imported,
      enabled: true,
      frontchannelLogout,
      fullScopeAllowed: false,
      attributes: {
        ...imported.attributes,
        'saml.authnstatement': 'true',
        'saml.signature.algorithm': 'RSA_SHA256',
        'saml_force_name_id_format': 'false',
        'saml_name_id_format': 'persistent',
        'saml_idp_initiated_sso_url_name': idp,
        ...attributes,
      },
      defaultClientScopes: [],
      protocolMappers: mappers,
    };
    await this.admin('POST', '/clients', client);
    return this.clientOf(imported.clientId);
  }

  async clientOf(clientId) {
    const [client] = await this.admin('GET', `/clients?clientId=${encodeURIComponent(clientId)}`);
    return client;
  }

  /** Changes attributes of a client, runs `during`, and puts them back. */
  async changed(clientId, attributes, during) {
    const client = await this.clientOf(clientId);
    const put = (values) => this.admin('PUT', `/clients/${client.id}`, { ...client, attributes: { ...client.attributes, ...values } });
    // Keycloak keeps an attribute that is left out; an empty one it removes.
    const before = Object.fromEntries(Object.keys(attributes).map((name) => [name, client.attributes[name] ?? '']));
    await put(attributes);
    try {
      return await during();
    } finally {
      await put(before);
    }
  }

  /** Where a person starts at this IdP to come to the SP of that IdP id. */
  portal(idp, relayState) {
    const query = relayState === undefined ? '' : `?${new URLSearchParams({ RelayState: relayState })}`;
    return `${this.issuer}/protocol/saml/clients/${idp}${query}`;
  }

  /** Where a person signs out of this IdP itself. It asks first: `signOutHere` answers. */
  get signOutUrl() {
    return `${this.issuer}/protocol/openid-connect/logout`;
  }

  /** A person's sign-out at the IdP itself; gives the page that it ends with before any SP is visited. */
  async signOutHere(person, options = {}) {
    const question = await person.open(this.signOutUrl);
    if (!this.isSignOutQuestion(question)) throw new Error(`no question: ${question.status} ${question.text.slice(0, 1000)}`);
    return person.submit(question, { confirmLogout: '' }, { action: 'logout-confirm', ...options });
  }

  /** An administrator ends this user's sessions: Keycloak tells the SPs itself, without a browser. */
  async endSessions(name) {
    const user = await this.user(name);
    await this.admin('POST', `/users/${user.id}/logout`);
  }

  /** Adds a realm key that signs from now on; the older ones stay in the descriptor. Gives its certificate. */
  async addKey() {
    const realm = await this.admin('GET', '');
    await this.admin('POST', '/components', {
      name: `rsa-${randomUUID()}`,
      providerId: 'rsa-generated',
      providerType: 'org.keycloak.keys.KeyProvider',
      parentId: realm.id,
      config: { priority: [String(200 + Math.floor(Date.now() / 1000) % 1_000_000_000)], enabled: ['true'], active: ['true'], algorithm: ['RS256'], keySize: ['2048'] },
    });
    const { active, keys } = await this.admin('GET', '/keys');
    return keys.find(({ kid }) => kid === active.RS256).certificate;
  }

  /** Removes every realm key for signatures but that with this certificate. */
  async dropOtherKeys(certificate) {
    const { keys } = await this.admin('GET', '/keys');
    const old = keys.filter((key) => key.type === 'RSA' && key.use === 'SIG' && key.certificate !== certificate);
    for (const id of new Set(old.map(({ providerId }) => providerId))) await this.admin('DELETE', `/components/${id}`);
  }
}

export { FORMAT, oneLine };
