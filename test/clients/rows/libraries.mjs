import { load, loadAll, readEvents, require } from './clients.mjs';

const order = { text: 'x'.repeat(500) };
const json = JSON.stringify;

function axiosRows(adapter) {
  const send = async ({ origin, headers }, options) =>
    json((await (await load('axios'))({ url: `${origin}/a`, headers, adapter, ...options })).data);
  return [
    { name: `axios, ${adapter} adapter`, call: (target) => send(target, {}) },
    {
      name: `axios, ${adapter} adapter, POST`,
      call: (target) => send(target, { method: 'post', data: order }),
    },
    {
      name: `axios, ${adapter} adapter, events`,
      site: 'gate',
      call: async ({ origin, headers, onFirst }) => {
        const { get } = await load('axios');
        const { data } = await get(`${origin}/events`, { headers, adapter, responseType: 'stream' });
        return readEvents(data, onFirst);
      },
    },
  ];
}

function gotRows(version) {
  const name = `got${version}`;
  const retry = { limit: 0 };
  return [
    {
      name: `got ${version}`,
      call: async ({ origin, headers }) => (await load(name))(`${origin}/a`, { headers, retry }).text(),
    },
    {
      name: `got ${version}, POST`,
      call: async ({ origin, headers }) =>
        (await load(name)).post(`${origin}/a`, { headers, retry, json: order }).text(),
    },
    {
      name: `got ${version}, events`,
      site: 'gate',
      call: async ({ origin, headers, onFirst }) =>
        readEvents((await load(name)).stream(`${origin}/events`, { headers, retry }), onFirst),
    },
  ];
}

function kyRows(version) {
  const name = `ky${version}`;
  return [
    {
      name: `ky ${version}`,
      call: async ({ origin, headers }) =>
        (await load(name)).get(`${origin}/a`, { headers, retry: 0 }).text(),
    },
    {
      name: `ky ${version}, POST`,
      call: async ({ origin, headers }) =>
        (await load(name)).post(`${origin}/a`, { headers, retry: 0, json: order }).text(),
    },
    {
      name: `ky ${version}, events`,
      site: 'gate',
      call: async ({ origin, headers, onFirst }) =>
        readEvents((await (await load(name)).get(`${origin}/events`, { headers, retry: 0 })).body, onFirst),
    },
  ];
}

/** Version 2 is loaded by `require`, as the SDKs of its time do. */
function nodeFetchRows(version) {
  const nodeFetch = async () => (version === 2 ? require('node-fetch2') : load(`node-fetch${version}`));
  return [
    {
      name: `node-fetch ${version}`,
      call: async ({ origin, headers }) => (await (await nodeFetch())(`${origin}/a`, { headers })).text(),
    },
    {
      name: `node-fetch ${version}, POST`,
      call: async ({ origin, headers }) =>
        (await (await nodeFetch())(`${origin}/a`, { method: 'POST', headers, body: json(order) })).text(),
    },
    {
      name: `node-fetch ${version}, events`,
      site: 'gate',
      call: async ({ origin, headers, onFirst }) =>
        readEvents((await (await nodeFetch())(`${origin}/events`, { headers })).body, onFirst),
    },
  ];
}

const superagentRows = [
  {
    name: 'superagent',
    call: async ({ origin, headers }) =>
      json((await require('superagent').get(`${origin}/a`).set(headers)).body),
  },
  {
    name: 'superagent, POST',
    call: async ({ origin, headers }) =>
      json((await require('superagent').post(`${origin}/a`).set(headers).send(order)).body),
  },
  {
    name: 'superagent, events',
    site: 'gate',
    call: async ({ origin, headers, onFirst }) => {
      const parser = (incoming, done) => {
        readEvents(incoming, onFirst).then((text) => done(null, text), done);
      };
      const answer = await require('superagent')
        .get(`${origin}/events`)
        .set(headers)
        .buffer(true)
        .parse(parser);
      return answer.body;
    },
  },
];

const needleRows = [
  {
    name: 'needle',
    call: async ({ origin, headers }) =>
      json((await require('needle')('get', `${origin}/a`, { headers })).body),
  },
  {
    name: 'needle, POST',
    call: async ({ origin, headers }) =>
      json((await require('needle')('post', `${origin}/a`, order, { headers, json: true })).body),
  },
  {
    name: 'needle, events',
    site: 'gate',
    call: ({ origin, headers, onFirst }) =>
      readEvents(require('needle').get(`${origin}/events`, { headers, parse: false }), onFirst),
  },
];

const agentRows = [
  {
    name: 'https-proxy-agent',
    schemes: ['https'],
    call: async ({ origin, headers, proxy }) => {
      const { HttpsProxyAgent } = await loadAll('https-proxy-agent');
      const agent = new HttpsProxyAgent(proxy);
      const { default: nodeFetch } = await loadAll('node-fetch3');
      return (await nodeFetch(`${origin}/a`, { headers, agent })).text();
    },
  },
];

export const libraryRows = [
  ...['http', 'fetch'].flatMap(axiosRows),
  ...[14, 16].flatMap(gotRows),
  ...[1, 2].flatMap(kyRows),
  ...[2, 3].flatMap(nodeFetchRows),
  ...superagentRows,
  ...needleRows,
  ...agentRows,
];
