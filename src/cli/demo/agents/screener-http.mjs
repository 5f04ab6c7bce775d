import { get } from 'node:http';
import { expect, work } from './work.mjs';

const token = process.env.FINNHUB_API_KEY;
const url = process.env.FINNHUB_URL;

function read(path, headers) {
  return new Promise((resolve, reject) => {
    const request = get(`${url}${path}`, { headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, text }));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

await work({ agent: 'screener', pieces: 120, pauseMs: 60 }, async (id) => {
  const { status, text } = await read('/api/v1/quote?symbol=AAPL', {
    'x-finnhub-token': token,
    'x-request-id': id,
  });
  expect(status === 200 && JSON.parse(text).c === 100, `status ${status}`, text);
});
