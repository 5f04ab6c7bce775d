import axios from 'axios';
import { ACME_URL, runAgent } from './agent-loop.mjs';

const client = axios.create({
  baseURL: ACME_URL,
  headers: { authorization: `Bearer ${process.env.ACME_API_KEY}` },
});

runAgent(async ({ id, method, path, body }) => {
  const { status } = await client.request({
    url: path,
    method,
    data: body,
    headers: { 'x-request-id': id, 'content-type': 'application/json' },
  });
  return status;
});
