import fetch from 'node-fetch';
import { expect, work } from './work.mjs';

const apiKey = process.env.NEWSWIRE_API_KEY;
const url = process.env.NEWSWIRE_URL;

let turn = 0;

await work({ agent: 'archive', pieces: 60, pauseMs: 110 }, async (id) => {
  turn += 1;
  const path = turn % 10 === 0 ? '/v2/premium' : '/v2/archive';
  const query = new URLSearchParams({ q: 'earnings', apiKey });
  const response = await fetch(`${url}${path}?${query}`, { headers: { 'x-request-id': id } });
  const body = await response.json();
  expect(response.ok && body.ok === true, `status ${response.status}`, body);
});
