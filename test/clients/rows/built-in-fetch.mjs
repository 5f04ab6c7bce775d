import { readEvents } from './clients.mjs';

const text = (response) => response.text();
const order = JSON.stringify({ text: 'x'.repeat(500) });

function form() {
  const body = new FormData();
  body.set('file', new Blob(['hello']), 'hello.txt');
  return body;
}

export const fetchRows = [
  {
    name: 'fetch, an address',
    call: ({ origin, headers }) => fetch(`${origin}/a`, { headers }).then(text),
  },
  {
    name: 'fetch, a URL object',
    call: ({ origin, headers }) => fetch(new URL('/a?b=c', origin), { headers }).then(text),
  },
  {
    name: 'fetch, a Request',
    call: ({ origin, headers }) => fetch(new Request(`${origin}/a`, { headers })).then(text),
  },
  {
    name: 'fetch, a Request with a body',
    call: ({ origin, headers }) =>
      fetch(new Request(`${origin}/a`, { method: 'POST', headers, body: order })).then(text),
  },
  {
    name: 'fetch, POST',
    call: ({ origin, headers }) => fetch(`${origin}/a`, { method: 'POST', headers, body: order }).then(text),
  },
  {
    name: 'fetch, FormData',
    call: ({ origin, headers }) => fetch(`${origin}/a`, { method: 'POST', headers, body: form() }).then(text),
  },
  {
    name: 'fetch, a stream as body',
    once: true,
    call: ({ origin, headers }) =>
      fetch(`${origin}/a`, {
        method: 'POST',
        headers,
        duplex: 'half',
        body: new Blob([order]).stream(),
      }).then(text),
  },
  {
    name: 'fetch, a redirect',
    hops: 1,
    call: ({ origin, headers }) => fetch(`${origin}/hop`, { headers }).then(text),
  },
  {
    name: 'fetch, events',
    site: 'gate',
    call: async ({ origin, headers, onFirst }) =>
      readEvents((await fetch(`${origin}/events`, { headers })).body, onFirst),
  },
  {
    name: 'fetch, key in a header of its own',
    site: 'header',
    call: ({ origin, key }) => fetch(`${origin}/a`, { headers: { 'X-API-Key': key } }).then(text),
  },
  {
    name: 'fetch, key in the query',
    site: 'query',
    call: ({ origin, key }) => fetch(`${origin}/a?b=c&apikey=${key}&d=e`).then(text),
  },
  {
    name: 'fetch, key in the path',
    site: 'path',
    call: ({ origin, key }) => fetch(`${origin}/v3/${key}/quote?b=c`).then(text),
  },
  {
    name: 'fetch, key in basic authentication',
    site: 'basic',
    call: ({ origin, key }) =>
      fetch(`${origin}/a`, {
        headers: { authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` },
      }).then(text),
  },
];
