// SAML messages from outside: read by patterns, which is enough for what usher and the peers here write. No XML parser.
import { createPublicKey, sign, verify, X509Certificate } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';

export const BINDING = {
  redirect: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect',
  post: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST',
};
export const FORMAT = {
  unspecified: 'urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified',
  email: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
  persistent: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
  transient: 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient',
};
export const RSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256';

function unescape(text) {
  return text.replaceAll('&quot;', '"').replaceAll('&apos;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

/** The start tags of this element, whatever its prefix. */
function tags(xml, element) {
  return [...xml.matchAll(new RegExp(`<(?:[\\w-]+:)?${element}(?=[\\s/>])[^>]*>`, 'g'))].map(([tag]) => tag);
}

/** One attribute of a start tag, unescaped. */
export function attributeOf(tag, name) {
  const raw = new RegExp(`\\s${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`).exec(tag ?? '');
  return raw ? unescape(raw[1] ?? raw[2]) : undefined;
}

/** The start tag of the first such element. */
export function tagOf(xml, element) {
  return tags(xml, element)[0];
}

/** The text of the first such element, trimmed. */
export function textOf(xml, element) {
  return textsOf(xml, element)[0];
}

export function textsOf(xml, element) {
  return [...xml.matchAll(new RegExp(`<(?:[\\w-]+:)?${element}(?:\\s[^>]*)?>([^<]*)<`, 'g'))].map(([, text]) => unescape(text.trim()));
}

/** Base64 of a certificate as PEM. */
export function pem(base64) {
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/\s+/g, '').match(/.{1,64}/g).join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** What a metadata document says of its SP or IdP. Certificates are PEM; a KeyDescriptor without `use` counts for both. */
export function readMetadata(xml) {
  const endpoints = (element) => tags(xml, element).map((tag) => ({
    binding: attributeOf(tag, 'Binding'),
    location: attributeOf(tag, 'Location'),
    index: attributeOf(tag, 'index'),
    isDefault: attributeOf(tag, 'isDefault'),
  }));
  const certificates = (use) => [...xml.matchAll(/<(?:[\w-]+:)?KeyDescriptor\b([^>]*)>([\s\S]*?)<\/(?:[\w-]+:)?KeyDescriptor>/g)]
    .filter(([, attributes]) => [use, undefined].includes(attributeOf(attributes, 'use')))
    .flatMap(([, , inner]) => textsOf(inner, 'X509Certificate').map(pem));
  const role = tagOf(xml, 'SPSSODescriptor') ?? tagOf(xml, 'IDPSSODescriptor');
  return {
    entityId: attributeOf(tagOf(xml, 'EntityDescriptor'), 'entityID'),
    acs: endpoints('AssertionConsumerService'),
    sso: endpoints('SingleSignOnService'),
    slo: endpoints('SingleLogoutService'),
    signing: certificates('signing'),
    encryption: certificates('encryption'),
    formats: textsOf(xml, 'NameIDFormat'),
    authnRequestsSigned: attributeOf(role, 'AuthnRequestsSigned'),
  };
}

/** The message in a Redirect-binding URL, with what its signature covers. */
export function readRedirect(url) {
  const query = new URL(url).search.slice(1);
  const raw = Object.fromEntries(query.split('&').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
  const name = 'SAMLRequest' in raw ? 'SAMLRequest' : 'SAMLResponse';
  if (!raw[name]) throw new Error(`no SAML message in ${url}`);
  const xml = inflateRawSync(Buffer.from(decodeURIComponent(raw[name]), 'base64')).toString('utf8');
  return {
    xml,
    name,
    query,
    parameters: Object.fromEntries(new URLSearchParams(query)),
    relayState: raw.RelayState === undefined ? undefined : decodeURIComponent(raw.RelayState),
    algorithm: raw.SigAlg && decodeURIComponent(raw.SigAlg),
    signature: raw.Signature && Buffer.from(decodeURIComponent(raw.Signature), 'base64'),
    covered: [name, 'RelayState', 'SigAlg'].filter((key) => key in raw).map((key) => `${key}=${raw[key]}`).join('&'),
  };
}

/** Does this Redirect-binding URL carry a signature by this certificate's RSA key (Bindings 3.4.4.1)? */
export function verifiesRedirect(url, certificate) {
  const { algorithm, signature, covered } = readRedirect(url);
  if (algorithm !== RSA_SHA256 || !signature) return false;
  return verify('sha256', Buffer.from(covered), createPublicKey(certificate), signature);
}

/** A Redirect-binding URL with this message, signed when there is a key. */
export function redirectUrl(endpoint, { name = 'SAMLRequest', xml, relayState, key }) {
  const fields = [[name, deflateRawSync(Buffer.from(xml)).toString('base64')]];
  if (relayState !== undefined) fields.push(['RelayState', relayState]);
  if (key) fields.push(['SigAlg', RSA_SHA256]);
  let query = fields.map(([field, value]) => `${field}=${encodeURIComponent(value)}`).join('&');
  if (key) query += `&Signature=${encodeURIComponent(sign('sha256', Buffer.from(query), key).toString('base64'))}`;
  return endpoint + (endpoint.includes('?') ? '&' : '?') + query;
}

/** The XML of a form field's message. */
export function decode(base64) {
  return Buffer.from(base64, 'base64').toString('utf8');
}

/** The document with every ID of its own kept and all white space between tags as it is, with one text replaced. */
export function tamper(base64, from, to) {
  const xml = decode(base64);
  if (!xml.includes(from)) throw new Error(`nothing to change: no ${from} in the message`);
  return Buffer.from(xml.replaceAll(from, to)).toString('base64');
}

/** The DER of a PEM certificate as one line of base64, as metadata and admin interfaces write it. */
export function oneLine(certificate) {
  return new X509Certificate(certificate).raw.toString('base64');
}
