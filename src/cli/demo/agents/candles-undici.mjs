import { request } from 'undici';
import { expect, work } from './work.mjs';

const apiKey = process.env.TICKSTORE_API_KEY;
const url = process.env.TICKSTORE_URL;

await work({ agent: 'candles', pieces: 90, pauseMs: 500, atOnce: 6 }, async (id) => {
  const { statusCode, body } = await request(`${url}/v1/candles?symbol=SPY`, {
    headers: { authorization: `Bearer ${apiKey}`, 'x-request-id': id },
  });
  const answer = await body.json();
  expect(statusCode === 200 && answer.ok === true, `status ${statusCode}`, answer);
});
