// The clients of the gateway's soak, a process: thousands of bare sockets, each with one stream.
import { connect } from 'node:net';

/** Sockets that are being opened at once. */
const WIDTH = 64;
const NEWLINE = 10;
/** How a chunked body ends. */
const END = '0\r\n\r\n';

const open = new Set();
let ended = { whole: 0, cut: 0 };
let slow;

class Stream {
  #tail = '';
  #lastByte = 0;
  bytes = 0;
  events = 0;

  constructor({ host, port }, path, token) {
    this.socket = connect({ host, port });
    this.began = new Promise((resolve, reject) => {
      this.socket.once('data', (chunk) =>
        chunk.toString('latin1', 9, 12) === '200' ? resolve() : reject(new Error(chunk.toString())),
      );
      this.socket.once('close', () => reject(new Error('closed before the answer')));
    });
    this.began.catch(() => {});
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
    this.socket.on('data', (chunk) => this.#take(chunk)).on('error', () => {});
    this.socket.write(
      `GET ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`,
    );
  }

  get isWhole() {
    return this.#tail === END;
  }

  #take(chunk) {
    this.bytes += chunk.length;
    this.#tail = (this.#tail + chunk.toString('latin1', Math.max(0, chunk.length - END.length))).slice(
      -END.length,
    );
    if (chunk.length > 4_096) return;
    for (const byte of chunk) {
      if (byte === NEWLINE && this.#lastByte === NEWLINE) this.events += 1;
      this.#lastByte = byte;
    }
  }
}

/** Resolves when each of them has its first event. */
async function openStreams({ count, gateway, path, token }) {
  let left = count;
  const worker = async () => {
    while (left-- > 0) {
      const stream = new Stream(gateway, path, token);
      await stream.began;
      open.add(stream);
      void stream.closed.then(() => {
        if (open.delete(stream)) ended[stream.isWhole ? 'whole' : 'cut'] += 1;
      });
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
}

const ORDERS = {
  open: openStreams,
  /** The number of open streams, the fewest events that one of them has, and how others ended. */
  look: () => {},
  /** As if so many programs were killed. */
  kill({ count }) {
    for (const stream of [...open].slice(0, count)) {
      open.delete(stream);
      stream.socket.resetAndDestroy();
    }
  },
  forget: () => (ended = { whole: 0, cut: 0 }),
  /** Asks for a flood and reads nothing of it but the beginning. */
  async slow({ gateway, path, token }) {
    slow = new Stream(gateway, path, token);
    await slow.began;
    slow.socket.pause();
  },
  async readOn() {
    slow.socket.resume();
    await slow.closed;
  },
};

process.on('message', async ({ order, ...details }) => {
  try {
    await ORDERS[order](details);
    const fewest = Math.min(...[...open].map(({ events }) => events));
    process.send({ open: open.size, fewest, ...ended, slowBytes: slow?.bytes, slowWhole: slow?.isWhole });
  } catch (error) {
    process.send({ error: String(error.message) });
  }
});
process.once('disconnect', () => process.exit());
process.send({});
