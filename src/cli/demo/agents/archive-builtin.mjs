import { get } from 'node:https';
import { expect, work } from './work.mjs';

const apiKey = process.env.NEWSWIRE_API_KEY;
const url = process.env.NEWSWIRE_URL;

function read(address, headers) {
  return new Promise((resolve, reject) => {
    const request = get(address, { headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, text }));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

let turn = 0;

await work({ agent: 'archive', pieces: 60, pauseMs: 110 }, async (id) => {
  turn += 1;
  const path = turn % 10 === 0 ? '/v2/premium' : '/v2/archive';
  const query = new URLSearchParams({ q: 'earnings', apiKey });
  const { status, text } = await read(`${url}${path}?${query}`, { 'x-request-id': id });
  expect(status === 200 && JSON.parse(text).ok === true, `status ${status}`, text);
});
