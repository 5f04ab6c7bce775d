import { ACME_URL, runAgent } from './agent-loop.mjs';

const headers = { authorization: `Bearer ${process.env.ACME_API_KEY}`, 'content-type': 'application/json' };

runAgent(async ({ id, method, path, body }) => {
  const response = await fetch(ACME_URL + path, {
    method,
    body,
    headers: { ...headers, 'x-request-id': id },
  });
  await response.text();
  return response.status;
});
