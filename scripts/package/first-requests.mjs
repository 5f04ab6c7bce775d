// Runs in the empty project: a program that knows nothing of keymux, preloaded, against a provider that refuses the
// first key. Fails unless its request is answered, and by the second key.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const PROVIDER = `
  import { parentPort } from 'node:worker_threads';
  import { refuse, startSimulator } from 'keymux/testing';
  const keys = { 'key-used-up': { name: 'first', always: refuse(429) }, 'key-that-works': { name: 'second' } };
  const provider = await startSimulator({ keys });
  parentPort.on('message', async () => {
    parentPort.postMessage(provider.requests.map(({ key, status }) => key + ' ' + status));
    await provider.close();
    parentPort.close();
  });
  parentPort.postMessage(provider.origin);`;
const AGENT = `
  const { ACME_URL, ACME_API_KEY } = process.env;
  fetch(ACME_URL, { headers: { authorization: 'Bearer ' + ACME_API_KEY } }).then(({ status }) => console.log(status));`;

const folder = mkdtempSync(join(tmpdir(), 'keymux-consumer-'));
// In this project, so that it finds the package; in a thread, since the agent is waited for.
writeFileSync('provider.mjs', PROVIDER);
const provider = new Worker('./provider.mjs');
const [origin] = await once(provider, 'message');
const configuration = { providers: { acme: { baseUrl: origin, env: ['ACME_API_KEY'] } } };
writeFileSync(join(folder, 'keymux.config.json'), JSON.stringify(configuration));

const preload = createRequire(import.meta.url).resolve('keymux/register');
const agent = spawnSync(process.execPath, ['--require', preload, '-e', AGENT], {
  cwd: folder,
  encoding: 'utf8',
  env: {
    ...process.env,
    KEYMUX_STATE_DIR: folder,
    ACME_URL: origin,
    ACME_API_KEY: 'key-used-up',
    ACME_API_KEY_2: 'key-that-works',
  },
});
provider.postMessage('tell');
const [seen] = await once(provider, 'message');
rmSync(folder, { recursive: true, force: true });
const told = `${agent.stdout}${agent.stderr}`.trim();
if (told !== '200' || seen.join() !== 'first 429,second 200') {
  console.error(`The program printed ${told}, the provider saw ${seen.join()}.`);
  process.exitCode = 1;
}
