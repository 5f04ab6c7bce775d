// The loop of every agent: a request at a steady pace, whether or not earlier ones were answered, and a line of JSON
// about each on stdout. Orders come by lines of JSON on stdin: {"do":"saturate","atOnce":4}, {"do":"stop"}.
import { createInterface } from 'node:readline';

const ORDER_EVERY = 4;

export function nowMs() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** `send({ id, method, path, body })` resolves with the status of the answer. `tell` writes one line. */
export class Loop {
  #prefix;
  #send;
  #tell;
  #began = 0;
  #ended = 0;
  #timer;
  #isStopped = false;
  #isSaturating = false;
  #busy = new Set();

  constructor(prefix, send, tell = (news) => console.log(JSON.stringify(news))) {
    this.#prefix = prefix;
    this.#send = send;
    this.#tell = tell;
  }

  /** At the steady pace, or as if it had been told to saturate, as the environment has it. */
  begin(threads = 1) {
    if (AT_ONCE > 0) return this.saturate(Math.ceil(AT_ONCE / threads));
    const beginOne = () => this.#hold(this.#one());
    this.#timer = setInterval(beginOne, EVERY_MS * threads);
    beginOne();
  }

  /** So many requests are under way at any moment. */
  saturate(atOnce) {
    if (this.#isSaturating) return;
    this.#isSaturating = true;
    clearInterval(this.#timer);
    const chain = async () => {
      while (!this.#isStopped) await this.#one();
    };
    for (let n = 0; n < atOnce; n += 1) this.#hold(chain());
  }

  /** Begins nothing more, and waits for what is under way. */
  async stop() {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await Promise.all(this.#busy);
    this.#tell({ event: 'end', began: this.#began, ended: this.#ended });
  }

  async #one() {
    this.#began += 1;
    const n = this.#began;
    const id = `${this.#prefix}-${n}`;
    const isOrder = n % ORDER_EVERY === 0;
    const method = isOrder ? 'POST' : 'GET';
    const path = isOrder ? '/v1/orders' : '/v1/quotes';
    const startedAt = nowMs();
    const call = { event: 'call', id, method, startedAt };
    try {
      const status = await this.#send({
        id,
        method,
        path,
        body: isOrder ? JSON.stringify({ id }) : undefined,
      });
      this.#ended += 1;
      this.#tell({ ...call, endedAt: nowMs(), status });
    } catch (error) {
      this.#ended += 1;
      const cause = error.cause?.message === undefined ? '' : ` (${error.cause.message})`;
      this.#tell({ ...call, endedAt: nowMs(), status: error.status, error: `${error.message}${cause}` });
    }
  }

  #hold(work) {
    this.#busy.add(work);
    void work.finally(() => this.#busy.delete(work));
  }
}

/** Follows the orders on stdin; when that ends, so does the agent. */
export function follow(loop) {
  const lines = createInterface({ input: process.stdin });
  const stop = async () => {
    lines.removeAllListeners('close');
    lines.close();
    process.stdin.destroy();
    await loop.stop();
  };
  lines.on('line', (line) => {
    const order = JSON.parse(line);
    if (order.do === 'saturate') loop.saturate(order.atOnce);
    if (order.do === 'stop') void stop();
  });
  lines.on('close', () => void stop());
}

export const { AGENT, ACME_URL } = process.env;
const EVERY_MS = Number(process.env.EVERY_MS);
const AT_ONCE = Number(process.env.AT_ONCE);

/** An agent that does its work in its main thread. */
export function runAgent(send) {
  const loop = new Loop(AGENT, send);
  follow(loop);
  loop.begin();
}
