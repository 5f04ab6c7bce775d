import http, { ClientRequest, get as httpGet, request as httpRequest } from 'node:http';
import https, { get as httpsGet, request as httpsRequest } from 'node:https';
import { answerTo, readEvents } from './clients.mjs';

const isSecure = (origin) => origin.startsWith('https:');
const moduleOf = (origin) => (isSecure(origin) ? https : http);
const requestOf = (origin) => (isSecure(origin) ? httpsRequest : httpRequest);
const getOf = (origin) => (isSecure(origin) ? httpsGet : httpGet);

const keptHttp = new http.Agent({ keepAlive: true, maxSockets: 1 });
const keptHttps = new https.Agent({ keepAlive: true, maxSockets: 1 });
export const keptAgentOf = (origin) => (isSecure(origin) ? keptHttps : keptHttp);

const order = JSON.stringify({ text: 'x'.repeat(500) });

export const nodeHttpRows = [
  {
    name: 'http.get',
    call: ({ origin, headers }) => answerTo(moduleOf(origin).get(`${origin}/a`, { headers })),
  },
  {
    name: 'http.get, imported by name',
    call: ({ origin, headers }) => answerTo(getOf(origin)(`${origin}/a`, { headers })),
  },
  {
    name: 'http.request, a URL object',
    call: ({ origin, headers }) =>
      answerTo(moduleOf(origin).request(new URL('/a?b=c', origin), { headers }).end()),
  },
  {
    name: 'http.request, imported by name, POST',
    call: ({ origin, headers }) =>
      answerTo(requestOf(origin)(`${origin}/a`, { method: 'POST', headers }).end(order)),
  },
  {
    name: 'http.request, headers as a list',
    call: ({ origin, headers }) => {
      const { hostname, port, host } = new URL(origin);
      const list = ['Host', host, 'Authorization', headers.authorization];
      return answerTo(moduleOf(origin).request({ hostname, port, path: '/a', headers: list }).end());
    },
  },
  {
    name: 'http.request, a late header, a body in pieces',
    call: ({ origin, headers }) => {
      const request = moduleOf(origin).request(`${origin}/a`, { method: 'POST' });
      request.setHeader('Authorization', headers.authorization);
      const answer = answerTo(request);
      request.write('first ');
      request.write(Buffer.from('second'));
      request.end(' third');
      return answer;
    },
  },
  {
    name: 'http.request, an agent that keeps one connection',
    call: ({ origin, headers }) =>
      answerTo(
        moduleOf(origin)
          .request(`${origin}/a`, { agent: keptAgentOf(origin), headers })
          .end(),
      ),
  },
  {
    name: 'http.request, no agent',
    call: ({ origin, headers }) =>
      answerTo(moduleOf(origin).request(`${origin}/a`, { agent: false, headers }).end()),
  },
  {
    name: 'new ClientRequest',
    once: true,
    schemes: ['http'],
    call: ({ origin, headers }) => answerTo(new ClientRequest(`${origin}/a`, { headers }).end()),
  },
  {
    name: 'http.get, events',
    site: 'gate',
    call: ({ origin, headers, onFirst }) =>
      new Promise((resolve, reject) => {
        moduleOf(origin)
          .get(`${origin}/events`, { headers }, (incoming) => {
            readEvents(incoming, onFirst).then(resolve, reject);
          })
          .on('error', reject);
      }),
  },
  {
    name: 'http.get, key in a header of its own',
    site: 'header',
    call: ({ origin, key }) =>
      answerTo(moduleOf(origin).get(`${origin}/a`, { headers: { 'X-API-Key': key } })),
  },
  {
    name: 'http.get, key in the query',
    site: 'query',
    call: ({ origin, key }) => answerTo(moduleOf(origin).get(`${origin}/a?b=c&apikey=${key}`)),
  },
  {
    name: 'http.get, key in the path',
    site: 'path',
    call: ({ origin, key }) => answerTo(moduleOf(origin).get(`${origin}/v3/${key}/quote`)),
  },
  {
    name: 'http.get, key in basic authentication',
    site: 'basic',
    call: ({ origin, key }) => answerTo(moduleOf(origin).get(`${origin}/a`, { auth: `${key}:` })),
  },
];
