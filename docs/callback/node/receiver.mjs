// A receiver of usher's callback with nothing but Node (20 or newer) and a JSON file:
//   HOOK_SECRET=whsec_… node receiver.mjs
import { createHmac, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { PORT = 3000, STORE = 'accounts.json', SEATS = 100, HOOK_SECRET } = process.env;
// The newest and, while it is being replaced, the one before it.
const keys = HOOK_SECRET.split(/\s+/).map((one) => Buffer.from(one.replace(/^whsec_/, ''), 'base64'));
const store = existsSync(STORE) ? JSON.parse(readFileSync(STORE)) : { last: 0, accounts: {}, answers: {} };

// [verify]
function authentic(headers, body) {
  const { 'webhook-id': event, 'webhook-timestamp': sent, 'webhook-signature': signatures } = headers;
  if (!event || !signatures || !/^\d{1,12}$/.test(sent) || Math.abs(Date.now() / 1000 - sent) > 300) return false;
  const wanted = keys.map((key) => createHmac('sha256', key).update(`${event}.${sent}.`).update(body).digest());
  const given = signatures.split(' ').filter((one) => one.startsWith('v1,')).map((one) => Buffer.from(one.slice(3), 'base64'));
  return given.some((one) => wanted.some((other) => one.length === other.length && timingSafeEqual(one, other)));
}
// [/verify]

// [decide]
function decide(kind, user) {
  const { accounts } = store;
  if (kind === 'user.deleted') {
    delete accounts[user.id];
    return { status: 200, said: {} };
  }
  if (!['user.created', 'user.updated', 'user.deactivated', 'user.reactivated'].includes(kind)) return { status: 200, said: {} };
  const known = accounts[user.id];
  if (user.active && !known?.active) {
    if (user.email?.endsWith('@blocked.example')) {
      return { status: 403, said: { reason: 'blocked_domain', user_message: "Use your company's e-mail address." } };
    }
    if (Object.values(accounts).filter(({ active }) => active).length >= SEATS) {
      return { status: 403, said: { reason: 'no_seat', user_message: 'All seats are taken. Ask Ann for one.' } };
    }
  }
  const { email, name, roles, active } = user;
  const account = known?.account ?? String((store.last += 1));
  accounts[user.id] = { account, email, name, roles, active };
  return { status: known ? 200 : 201, said: { account } };
}
// [/decide]

// [once]
function answer(event, body) {
  if (Object.hasOwn(store.answers, event)) return store.answers[event];
  const { type, data } = JSON.parse(body);
  const result = decide(type, data.user);
  if (result.status < 300) {
    store.answers[event] = result;
    writeFileSync(`${STORE}.new`, JSON.stringify(store)); // The account and the answer are kept together, or neither is.
    renameSync(`${STORE}.new`, STORE);
  }
  return result;
}
// [/once]

createServer(async (request, response) => {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > 1 << 20) return request.destroy();
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  let result = { status: 401, said: {} };
  if (request.url !== '/internal/users') result.status = 404;
  else if (request.method !== 'POST') result.status = 405;
  else if (authentic(request.headers, body)) result = answer(request.headers['webhook-id'], body);
  response.writeHead(result.status, { 'content-type': 'application/json' }).end(JSON.stringify(result.said));
}).listen(PORT, '127.0.0.1');
