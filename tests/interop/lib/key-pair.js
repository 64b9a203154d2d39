// RSA keys with a self-signed certificate, by openssl.
import fs from 'node:fs/promises';
import path from 'node:path';
import { run } from './processes.js';

/** Makes `name.key` and `name.crt` in a folder and gives both as PEM and by path. */
export async function keyPair(folder, name, { days = 365, subject = `/CN=${name}` } = {}) {
  await fs.mkdir(folder, { recursive: true });
  const [keyFile, certificateFile] = ['key', 'crt'].map((ending) => path.join(folder, `${name}.${ending}`));
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-sha256', '-nodes', '-days', String(days), '-subj', subject,
    '-keyout', keyFile, '-out', certificateFile]);
  return { keyFile, certificateFile, key: await fs.readFile(keyFile, 'utf8'), certificate: await fs.readFile(certificateFile, 'utf8') };
}
