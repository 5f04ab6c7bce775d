import { Readable, Writable } from 'node:stream';
import { loadAll, readEvents } from './clients.mjs';

const order = JSON.stringify({ text: 'x'.repeat(500) });

/** Collects what `stream` and `pipeline` write. */
function sink() {
  const chunks = [];
  const writable = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { writable, text: () => Buffer.concat(chunks).toString() };
}

const get = (origin, headers) => ({ origin, path: '/a', method: 'GET', headers });

/** A dispatcher is made for one request and closed after it. */
async function through(dispatcher, use) {
  try {
    return await use(dispatcher);
  } finally {
    await dispatcher.close();
  }
}

function rowsOf(version) {
  const name = `undici${version}`;
  const row = (what, call, more = {}) => ({
    name: `undici ${version}, ${what}`,
    call: async (target) => call(await loadAll(name), target),
    ...more,
  });
  return [
    row('request', async ({ request }, { origin, headers }) =>
      (await request(`${origin}/a`, { headers })).body.text(),
    ),
    row('request, POST', async ({ request }, { origin, headers }) =>
      (await request(`${origin}/a`, { method: 'POST', headers, body: order })).body.text(),
    ),
    row(
      'request, a Readable as body',
      async ({ request }, { origin, headers }) =>
        (
          await request(`${origin}/a`, { method: 'POST', headers, body: Readable.from([Buffer.from(order)]) })
        ).body.text(),
      { once: true },
    ),
    row(
      'request, key in its query option',
      async ({ request }, { origin, key }) =>
        (await request(`${origin}/a`, { query: { b: 'c', apikey: key } })).body.text(),
      { site: 'query' },
    ),
    row('fetch', async ({ fetch }, { origin, headers }) => (await fetch(`${origin}/a`, { headers })).text()),
    row('stream', async ({ stream }, { origin, headers }) => {
      const { writable, text } = sink();
      await stream(`${origin}/a`, { method: 'GET', headers }, () => writable);
      return text();
    }),
    row(
      'pipeline',
      async ({ pipeline }, { origin, headers }) => {
        const { writable, text } = sink();
        const duplex = pipeline(`${origin}/a`, { method: 'POST', headers }, ({ body }) => body);
        await new Promise((resolve, reject) => {
          duplex.on('error', reject).pipe(writable).on('finish', resolve).on('error', reject);
          duplex.end(order);
        });
        return text();
      },
      { once: true },
    ),
    row('Agent', ({ Agent, request }, { origin, headers }) =>
      through(new Agent(), async (dispatcher) =>
        (await request(`${origin}/a`, { dispatcher, headers })).body.text(),
      ),
    ),
    row('Pool', ({ Pool }, { origin, headers }) =>
      through(new Pool(origin, { connections: 1 }), async (pool) =>
        (await pool.request(get(undefined, headers))).body.text(),
      ),
    ),
    row('Client', ({ Client }, { origin, headers }) =>
      through(new Client(origin), async (client) =>
        (await client.request(get(undefined, headers))).body.text(),
      ),
    ),
    // Without `proxyTunnel`, version 8 hands plain requests to the proxy to read: those are left alone.
    row('ProxyAgent', ({ ProxyAgent, request }, { origin, headers, proxy }) =>
      through(new ProxyAgent({ uri: proxy, proxyTunnel: true }), async (dispatcher) =>
        (await request(`${origin}/a`, { dispatcher, headers })).body.text(),
      ),
    ),
    ...(version === 5
      ? []
      : [
          row('Agent with composed interceptors', ({ Agent, interceptors, request }, { origin, headers }) =>
            through(
              new Agent().compose(
                interceptors.redirect({ maxRedirections: 3 }),
                interceptors.retry({ maxRetries: 1 }),
              ),
              async (dispatcher) => (await request(`${origin}/a`, { dispatcher, headers })).body.text(),
            ),
          ),
        ]),
    row(
      'request, events',
      async ({ request }, { origin, headers, onFirst }) =>
        readEvents((await request(`${origin}/events`, { headers })).body, onFirst),
      { site: 'gate' },
    ),
  ];
}

export const undiciRows = [5, 6, 7, 8].flatMap(rowsOf);
