// Requests to a gateway from a process of its own: connections that are kept, one request at a time on each. Undici does
// it with the least work of all clients that this repository has, so that two cores are left for who is measured.
import { Client } from 'undici';
import { percentile } from './measurements.mjs';

/** Goes round in a connection until told to stop; keeps the milliseconds of each request. */
class Connection {
  #client;
  #request;
  totals = [];
  firstBytes = [];

  constructor({ origin, path, headers, body }) {
    this.#client = new Client(origin, { pipelining: 1 });
    this.#request = { method: 'POST', path, headers, body };
  }

  send() {
    return new Promise((resolve, reject) => {
      const startedAt = performance.now();
      let firstByteAt;
      let bytes = 0;
      let status;
      this.#client.dispatch(this.#request, {
        onRequestStart() {},
        onResponseStart: (_controller, statusCode) => (status = statusCode),
        onResponseData: (_controller, chunk) => {
          firstByteAt ??= performance.now();
          bytes += chunk.length;
        },
        onResponseEnd: () => {
          if (status !== 200 || bytes === 0)
            return reject(new Error(`answered with ${status}, ${bytes} bytes`));
          this.totals.push(performance.now() - startedAt);
          this.firstBytes.push(firstByteAt - startedAt);
          resolve();
        },
        onResponseError: (_controller, error) => reject(error),
      });
    });
  }

  close() {
    return this.#client.close();
  }
}

/** `ms`: how long; `connections`: how many at once. */
async function load({ connections, ms, ...target }) {
  const all = Array.from({ length: connections }, () => new Connection(target));
  await Promise.all(all.map((connection) => connection.send()));
  for (const connection of all) connection.totals.length = connection.firstBytes.length = 0;
  const startedAt = performance.now();
  await Promise.all(
    all.map(async (connection) => {
      while (performance.now() - startedAt < ms) await connection.send();
    }),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  await Promise.all(all.map((connection) => connection.close()));
  const totals = all.flatMap((connection) => connection.totals);
  const firstBytes = all.flatMap((connection) => connection.firstBytes);
  return {
    perSecond: totals.length / seconds,
    p50Ms: percentile(totals, 0.5),
    p99Ms: percentile(totals, 0.99),
    firstByteP50Ms: percentile(firstBytes, 0.5),
  };
}

process.on('message', async (order) => {
  try {
    process.send(await load(order));
  } catch (error) {
    process.send({ error: error.message });
  }
});
process.once('disconnect', () => process.exit());
process.send('ready');
