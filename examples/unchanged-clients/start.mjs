// Three programs with a client each, started side by side as you would start your own:
// node --import keymux/register agent.mjs
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCertificate, refuse, startSimulator } from 'keymux/testing';

const keys = {
  'key-that-ran-out': { name: 'first', always: refuse(429, { retryAfterSeconds: 60 }) },
  'key-that-was-revoked': { name: 'second', always: refuse(401) },
  'key-that-works': { name: 'third' },
};
const tls = createCertificate();
const header = { in: 'header', name: 'x-api-key' };
const query = { in: 'query', name: 'apikey' };
const providers = {
  axios: { auth: header, simulator: await startSimulator({ keys, auth: header }) },
  openai: { simulator: await startSimulator({ keys, flavour: 'openai' }) },
  https: { auth: query, simulator: await startSimulator({ keys, auth: query, tls }) },
};

const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
writeFileSync(join(folder, 'authority.pem'), tls.cert);
const config = { providers: {} };
const env = {
  ...process.env,
  KEYMUX_STATE_DIR: folder,
  KEYMUX_CONFIG: join(folder, 'keymux.config.json'),
  NODE_EXTRA_CA_CERTS: join(folder, 'authority.pem'),
};
for (const [name, { auth, simulator }] of Object.entries(providers)) {
  const variable = name.toUpperCase();
  config.providers[name] = { baseUrl: simulator.origin, env: [`${variable}_API_KEY`], ...(auth && { auth }) };
  env[`${variable}_URL`] = simulator.origin;
  env[`${variable}_API_KEY`] = 'key-that-ran-out';
  env[`${variable}_API_KEY_2`] = 'key-that-was-revoked';
  env[`${variable}_API_KEY_BACKUP`] = 'key-that-works';
}
env.OPENAI_BASE_URL = `${env.OPENAI_URL}/v1`;
writeFileSync(env.KEYMUX_CONFIG, JSON.stringify(config));

const preload = createRequire(import.meta.url).resolve('keymux/register');
const codes = await Promise.all(
  Object.keys(providers).map(async (name) => {
    const agent = fileURLToPath(new URL(`${name}.mjs`, import.meta.url));
    const child = spawn(process.execPath, ['--import', preload, agent], { stdio: 'inherit', env });
    const [code] = await once(child, 'exit');
    return code;
  }),
);
for (const [name, { simulator }] of Object.entries(providers)) {
  const seen = simulator.requests.map(({ key, status }) => `${key} ${status}`).join(', ');
  console.log(`the provider of ${name} saw: ${seen}`);
  await simulator.close();
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = Math.max(...codes);
