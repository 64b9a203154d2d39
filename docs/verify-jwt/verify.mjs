// Verifies the header X-Usher-Jwt with nothing but Node 18 or newer.
import { createPublicKey, verify } from 'node:crypto';

const part = (text) => JSON.parse(Buffer.from(text, 'base64url').toString());

/** `issuer`: usher's top-level public_url. `app`: the app's id in usher's config. `jwks`: where usher's keys are. */
export function verifier({ issuer, app, jwks }) {
  let keys = new Map();
  async function keyOf(kid) {
    if (!keys.has(kid)) {
      // A key that is not known yet: usher publishes the next one a day before it signs.
      const document = await (await fetch(jwks)).json();
      keys = new Map(document.keys.map((key) => [key.kid, createPublicKey({ key, format: 'jwk' })]));
    }
    return keys.get(kid);
  }
  return async function claimsOf(token, now = Date.now() / 1000) {
    const [header, payload, signature, ...more] = String(token).split('.');
    if (!signature || more.length) throw new Error('no JWT');
    const { alg, kid } = part(header);
    if (alg !== 'ES256') throw new Error(`signed with ${alg}`);
    const key = await keyOf(kid);
    if (!key) throw new Error('signed by an unknown key');
    const signed = Buffer.from(`${header}.${payload}`);
    if (!verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))) {
      throw new Error('the signature is wrong');
    }
    const claims = part(payload);
    if (claims.iss !== issuer) throw new Error(`issued by ${claims.iss}`);
    if (claims.aud !== app) throw new Error(`for the app ${claims.aud}`);
    if (now > claims.exp + 30) throw new Error('expired');
    return claims; // sub, email, roles, account, …
  };
}
