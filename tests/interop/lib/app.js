// The app behind usher: it records what reaches it, keeps accounts made by the callback, and holds streams open.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import { freePort, sleep } from './processes.js';

/** Standard Webhooks 1.0 with a symmetric secret. Throws what is wrong with this delivery. */
export function verifyWebhook(headers, body, secret, now = Date.now()) {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  const signatures = headers['webhook-signature'];
  if (!id || !timestamp || !signatures) throw new Error('a webhook header is missing');
  if (!/^\d+$/.test(timestamp)) throw new Error(`webhook-timestamp is no number of seconds: ${timestamp}`);
  if (Math.abs(now / 1000 - Number(timestamp)) > 300) throw new Error(`webhook-timestamp is too far from now: ${timestamp}`);
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const wanted = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
  const good = signatures.split(' ').some((entry) => {
    const [version, value] = entry.split(',');
    const given = Buffer.from(value ?? '', 'base64');
    return version === 'v1' && given.length === wanted.length && timingSafeEqual(given, wanted);
  });
  if (!good) throw new Error('webhook-signature does not match');
}

export class App {
  requests = [];
  events = [];
  problems = [];
  accounts = new Map();
  streams = new Set();
  /** Milliseconds that the callback waits before it answers. */
  callbackDelay = 0;
  /** When set, answers the callback itself: (event) => ({ status, body, headers }). */
  onEvent = undefined;
  #sockets = new Set();

  constructor({ secret }) {
    this.secret = secret;
  }

  async start() {
    this.port = await freePort();
    this.origin = `http://127.0.0.1:${this.port}`;
    this.server = http.createServer({ noDelay: true }, (incoming, outgoing) => {
      this.#answer(incoming, outgoing).catch((error) => {
        this.problems.push(error.message);
        outgoing.destroy();
      });
    });
    this.server.on('upgrade', (incoming, socket) => this.#webSocket(incoming, socket));
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.server.keepAliveTimeout = 60_000;
    await new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(this.port, '127.0.0.1', resolve);
    });
  }

  async stop() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** The events of this type for the user with this e-mail. */
  eventsOf(email, type) {
    return this.events.filter((event) => event.data.user.email === email && (!type || event.type === type));
  }

  async #answer(incoming, outgoing) {
    const chunks = [];
    if (incoming.url.startsWith('/sse')) return this.#events(incoming, outgoing);
    for await (const chunk of incoming) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (incoming.url === '/internal/users') return this.#callback(incoming, outgoing, body);
    const seen = { method: incoming.method, url: incoming.url, headers: incoming.headers, rawHeaders: incoming.rawHeaders, body: body.toString('latin1') };
    this.requests.push(seen);
    const text = JSON.stringify(seen);
    outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    outgoing.end(text);
  }

  async #callback(incoming, outgoing, body) {
    const text = body.toString('utf8');
    try {
      verifyWebhook(incoming.headers, body, this.secret);
    } catch (error) {
      this.problems.push(`callback: ${error.message}`);
      outgoing.writeHead(401).end();
      return;
    }
    const event = { ...JSON.parse(text), id: incoming.headers['webhook-id'] };
    if (this.callbackDelay) await sleep(this.callbackDelay);
    const { status = 200, body: answer, headers = {} } = this.onEvent?.(event) ?? this.#keep(event);
    outgoing.writeHead(status, { 'content-type': 'application/json', ...headers });
    outgoing.end(answer === undefined ? '' : JSON.stringify(answer));
  }

  #keep(event) {
    this.events.push(event);
    const { id } = event.data.user;
    const known = this.accounts.get(id);
    if (event.type === 'user.created' && known) return { status: 409, body: { account: known } };
    const account = known ?? String(1000 + this.accounts.size);
    this.accounts.set(id, account);
    return { status: known ? 200 : 201, body: { account } };
  }

  #events(incoming, outgoing) {
    this.requests.push({ method: incoming.method, url: incoming.url, headers: incoming.headers, rawHeaders: incoming.rawHeaders });
    outgoing.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    let count = 0;
    const tick = () => outgoing.write(`data: ${count++}\n\n`);
    tick();
    const timer = setInterval(tick, 100);
    this.#stream(outgoing.socket, () => clearInterval(timer));
    outgoing.once('close', () => clearInterval(timer));
  }

  #webSocket(incoming, socket) {
    this.requests.push({ method: incoming.method, url: incoming.url, headers: incoming.headers, rawHeaders: incoming.rawHeaders });
    const accept = createHash('sha1').update(`${incoming.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.setNoDelay(true);
    socket.on('error', () => {});
    // An upgraded socket of node's server stays half open unless told.
    socket.on('end', () => socket.end());
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
    this.#stream(socket, () => {});
    // Small text frames only; a masked frame comes back unmasked. A frame may come in several pieces.
    let held = Buffer.alloc(0);
    socket.on('data', (piece) => {
      held = Buffer.concat([held, piece]);
      if ((held[0] & 0x0f) !== 1) return socket.end();
      const whole = held.length < 2 ? Infinity : 6 + (held[1] & 0x7f);
      if (held.length < whole) return undefined;
      const mask = held.subarray(2, 6);
      const text = Buffer.from(held.subarray(6, whole).map((byte, index) => byte ^ mask[index % 4]));
      held = held.subarray(whole);
      return socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
    });
  }

  #stream(socket, ended) {
    const stream = { opened: Date.now(), closed: undefined };
    this.streams.add(stream);
    socket.once('close', () => {
      stream.closed = Date.now();
      ended();
    });
  }
}
