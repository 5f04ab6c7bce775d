/** Gets at node:http2 in the way that argv names, asks three times, and prints what came of it. */
import { createRequire } from 'node:module';

const [, , what] = process.argv;
const { ACME_URL, ACME_API_KEY } = process.env;
const headers = { authorization: `Bearer ${ACME_API_KEY}` };

async function viaModule(code) {
  return (await import(`data:text/javascript,${encodeURIComponent(code)}`)).connect;
}

const waysToConnect = {
  import: () => viaModule(`import http2 from 'node:http2'; export const { connect } = http2;`),
  'import a name': () => viaModule(`export { connect } from 'node:http2';`),
  'dynamic import': async () => (await import('node:http2')).connect,
  require: () => createRequire(import.meta.url)('http2').connect,
};

function ask(session) {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers);
    stream.on('response', ({ ':status': status }) => stream.on('close', () => resolve(status)));
    stream.on('error', reject);
    stream.resume();
  });
}

const statuses = [];
if (what === 'fetch') {
  statuses.push((await fetch(ACME_URL, { headers })).status);
} else if (what === 'nothing') {
  // What node:http2 reads when it is loaded, read by somebody else.
  const { _connectionListener: listener } = createRequire(import.meta.url)('node:http');
  if (typeof listener !== 'function') throw new Error('node:http has no _connectionListener');
} else {
  const connect = await waysToConnect[what]();
  const session = connect(ACME_URL);
  for (let time = 0; time < 3; time += 1) statuses.push(await ask(session));
  session.close();
}
const isLoaded = process.moduleLoadList.includes('NativeModule internal/http2/core');
console.log(JSON.stringify({ isLoaded, statuses }));
