// Threads of one process, each with a loop of its own.
import { isMainThread, parentPort, threadId, Worker } from 'node:worker_threads';
import { ACME_URL, AGENT, follow, Loop } from './agent-loop.mjs';

const THREADS = 2;
const headers = { authorization: `Bearer ${process.env.ACME_API_KEY}`, 'content-type': 'application/json' };

async function send({ id, method, path, body }) {
  const response = await fetch(ACME_URL + path, {
    method,
    body,
    headers: { ...headers, 'x-request-id': id },
  });
  await response.text();
  return response.status;
}

class Threads {
  #workers = Array.from({ length: THREADS }, () => new Worker(new URL(import.meta.url)));
  #ends = [];
  #allEnded;

  constructor() {
    this.#allEnded = new Promise((resolve) => {
      for (const worker of this.#workers) {
        worker.on('message', (news) => {
          if (news.event !== 'end') return void console.log(JSON.stringify(news));
          this.#ends.push(news);
          if (this.#ends.length === THREADS) resolve();
        });
      }
    });
  }

  saturate(atOnce) {
    for (const worker of this.#workers)
      worker.postMessage({ do: 'saturate', atOnce: Math.ceil(atOnce / THREADS) });
  }

  async stop() {
    for (const worker of this.#workers) worker.postMessage({ do: 'stop' });
    await this.#allEnded;
    const sum = (of) => this.#ends.reduce((total, end) => total + end[of], 0);
    console.log(JSON.stringify({ event: 'end', began: sum('began'), ended: sum('ended') }));
  }
}

if (isMainThread) {
  follow(new Threads());
} else {
  const loop = new Loop(`${AGENT}.t${threadId}`, send, (news) => parentPort.postMessage(news));
  parentPort.on('message', async (order) => {
    if (order.do === 'saturate') return loop.saturate(order.atOnce);
    await loop.stop();
    parentPort.close();
  });
  loop.begin(THREADS);
}
