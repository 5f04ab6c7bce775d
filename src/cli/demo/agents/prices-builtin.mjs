import { expect, work } from './work.mjs';

const apikey = process.env.ALPHAVANTAGE_API_KEY;
const url = process.env.ALPHAVANTAGE_URL;

await work({ agent: 'prices', pieces: 55, pauseMs: 150 }, async (id) => {
  const query = new URLSearchParams({ function: 'GLOBAL_QUOTE', symbol: 'MSFT', apikey });
  const response = await fetch(`${url}/query?${query}`, { headers: { 'x-request-id': id } });
  const body = await response.json();
  expect(response.ok && body['Global Quote']?.['01. symbol'] === 'MSFT', 'no quote', body);
});
