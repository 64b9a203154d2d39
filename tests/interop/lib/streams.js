// The client's side of a WebSocket and of an event stream, raw enough to see when the last byte came.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

/** Opens a WebSocket with this person's cookies; `status` tells of a refusal, `echo` sends text and gives what came back. */
export function openWebSocket(person, url) {
  return open(person, url, {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
    origin: new URL(url).origin,
  });
}

/** Opens an event stream with this person's cookies. */
export function openEvents(person, url) {
  return open(person, url, { accept: 'text/event-stream' });
}

function open(person, url, headers) {
  const target = new URL(url);
  const cookie = person.jar.header(url);
  return new Promise((resolve, reject) => {
    const outgoing = (target.protocol === 'https:' ? https : http).request({
      host: '127.0.0.1',
      servername: target.hostname,
      rejectUnauthorized: false,
      port: target.port,
      path: target.pathname,
      headers: { host: target.host, ...(cookie ? { cookie } : {}), ...headers },
      agent: false,
    });
    outgoing.setNoDelay(true);
    outgoing.on('error', reject);
    outgoing.on('upgrade', (answer, socket) => resolve(new Stream(answer.statusCode, socket, socket)));
    outgoing.on('response', (answer) => resolve(new Stream(answer.statusCode, answer, answer.socket)));
    outgoing.end();
  });
}

class Stream {
  closedAt = undefined;
  received = '';
  #waiting = [];

  constructor(status, source, socket) {
    this.status = status;
    this.socket = socket;
    source.on('error', () => {});
    source.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.lastByteAt = Date.now();
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.closedAt ??= Date.now();
        resolve(this.closedAt);
      };
      source.once('end', end);
      source.once('close', end);
      socket.once('close', end);
    });
  }

  /** The next bytes, or nothing more once it is closed. */
  async more() {
    await Promise.race([new Promise((resolve) => this.#waiting.push(resolve)), this.closed]);
  }

  /** Sends a short masked text frame and gives the text of the frame that comes back. */
  async echo(text) {
    const body = Buffer.from(text);
    const mask = randomBytes(4);
    const masked = Buffer.from(body.map((byte, index) => byte ^ mask[index % 4]));
    const from = this.received.length;
    this.socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | body.length]), mask, masked]));
    while (this.received.length < from + 2 + body.length && this.closedAt === undefined) await this.more();
    return this.received.slice(from + 2);
  }

  destroy() {
    this.socket.destroy();
  }
}
