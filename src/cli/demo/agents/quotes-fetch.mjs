import { expect, work } from './work.mjs';

const apiKey = process.env.ALPHAVANTAGE_API_KEY;
const url = process.env.ALPHAVANTAGE_URL;

await work({ agent: 'quotes', pieces: 55, pauseMs: 150 }, async (id) => {
  const query = new URLSearchParams({ function: 'GLOBAL_QUOTE', symbol: 'IBM', apikey: apiKey });
  const response = await fetch(`${url}/query?${query}`, { headers: { 'x-request-id': id } });
  const body = await response.json();
  expect(response.ok && body['Global Quote']?.['05. price'] === '100.0000', 'no quote', body);
});
