// Uses keymux as a library, without the preload: one half of its requests by manager.fetch, the other by manager.run.
import { MinimalMultiKeyManager } from 'keymux';
import { ACME_URL, runAgent } from './agent-loop.mjs';

const manager = MinimalMultiKeyManager.instance();

async function byLease({ id, method, path, body }) {
  const response = await manager.run('acme', async ({ apiKey }) => {
    const headers = {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'x-request-id': id,
    };
    const answer = await fetch(ACME_URL + path, { method, body, headers });
    await answer.text();
    if (!answer.ok) {
      const { status, headers: given } = answer;
      throw Object.assign(new Error(`status ${status}`), { status, headers: given });
    }
    return answer;
  });
  return response.status;
}

async function byFetch({ id, method, path, body }) {
  const headers = { 'content-type': 'application/json', 'x-request-id': id };
  const response = await manager.fetch('acme', path, { method, body, headers });
  await response.text();
  return response.status;
}

runAgent((call) => (call.id.charCodeAt(call.id.length - 1) % 2 === 0 ? byFetch(call) : byLease(call)));
