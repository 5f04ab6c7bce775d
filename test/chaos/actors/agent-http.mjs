import { request } from 'node:http';
import { ACME_URL, runAgent } from './agent-loop.mjs';

const headers = { authorization: `Bearer ${process.env.ACME_API_KEY}`, 'content-type': 'application/json' };

runAgent(
  ({ id, method, path, body }) =>
    new Promise((resolve, reject) => {
      const outgoing = request(ACME_URL + path, { method, headers: { ...headers, 'x-request-id': id } });
      outgoing.on('response', (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
        response.on('error', reject);
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    }),
);
