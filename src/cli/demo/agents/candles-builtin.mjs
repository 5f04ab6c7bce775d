import { expect, work } from './work.mjs';

const apiKey = process.env.TICKSTORE_API_KEY;
const url = process.env.TICKSTORE_URL;

await work({ agent: 'candles', pieces: 90, pauseMs: 500, atOnce: 6 }, async (id) => {
  const response = await fetch(`${url}/v1/candles?symbol=SPY`, {
    headers: { authorization: `Bearer ${apiKey}`, 'x-request-id': id },
  });
  const answer = await response.json();
  expect(response.ok && answer.ok === true, `status ${response.status}`, answer);
});
