/**
 * For programs that use another tool beside keymux. argv: `keymux first` or `keymux last`. The preload stands in
 * `KEYMUX_PRELOAD`.
 */
import http from 'node:http';
import { createRequire } from 'node:module';

const clients = createRequire(new URL('../../clients/package.json', import.meta.url));

export const origin = process.env.ACME_URL;
/** As an application captures it: before keymux is there, it is the key as it stands in the environment. */
export const headers = { 'x-api-key': 'key-limited' };

export function requireClient(name) {
  return clients(name);
}

export async function importClient(name) {
  return import(clients.resolve(name));
}

/** Loads keymux and sets the tool up, in the order that was asked for. Returns what `setUp` does. */
export async function inOrder(setUp) {
  const loadKeymux = () => import(process.env.KEYMUX_PRELOAD);
  if (process.argv[2] === 'keymux first') await loadKeymux();
  const tool = await setUp();
  if (process.argv[2] === 'keymux last') await loadKeymux();
  return tool;
}

/** Each of them asks for a path and gives status and the name of the key, or whatever stands in its place. */
export const ways = {
  fetch: async (path) => {
    const response = await fetch(`${origin}${path}`, { headers });
    return [response.status, (await response.json()).key];
  },
  'node:http': (path, options = {}) =>
    new Promise((resolve, reject) => {
      const request = http.get(`${origin}${path}`, { ...options, headers }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk) => (text += chunk));
        answer.on('end', () => resolve([answer.statusCode, JSON.parse(text).key]));
      });
      request.on('error', reject);
    }),
  axios: async (path) => {
    const { default: axios } = await importClient('axios');
    const { status, data } = await axios.get(`${origin}${path}`, { headers });
    return [status, data.key];
  },
};

/**
 * Runs a part of the program once in each way, as if no key had ever been refused, and gives the results by way. A
 * request to `/way` tells the provider where the next one begins.
 */
export async function inEveryWay(run) {
  const { getApiManager } = await import(process.env.KEYMUX_ENTRY);
  const results = {};
  for (const [way, ask] of Object.entries(ways)) {
    const manager = getApiManager();
    for (const { id } of manager.inspect().keys) manager.reset(id);
    results[way] = await run(ask);
    await new Promise((resolve, reject) => {
      http.get(`${origin}/way`, (answer) => answer.resume().on('end', resolve)).on('error', reject);
    });
  }
  return results;
}

/** `more`: what holds for the whole program. */
export function report(result, more = {}) {
  process.stdout.write(`${JSON.stringify({ ...result, ...more })}\n`, () => process.exit(0));
}
