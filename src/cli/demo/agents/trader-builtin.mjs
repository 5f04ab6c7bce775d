import { expect, work } from './work.mjs';

const apiKey = process.env.ACME_API_KEY;
const url = process.env.ACME_URL;

// An order must never be carried out twice, and the broker knows no idempotency keys.
await work({ agent: 'trader', pieces: 80, pauseMs: 200, atOnce: 2 }, async (id) => {
  const response = await fetch(`${url}/v1/orders`, {
    method: 'POST',
    headers: { 'x-api-key': apiKey, 'content-type': 'application/json', 'x-request-id': id },
    body: JSON.stringify({ id, symbol: 'AAPL', side: 'buy', quantity: 1 }),
  });
  const data = await response.json();
  expect(response.ok && data.ok === true, `status ${response.status}`, data);
});
