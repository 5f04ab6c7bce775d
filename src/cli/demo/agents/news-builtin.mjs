import { expect, work } from './work.mjs';

const apiKey = process.env.NEWSWIRE_API_KEY;
const url = process.env.NEWSWIRE_URL;

await work({ agent: 'news', pieces: 60, pauseMs: 110 }, async (id) => {
  const query = new URLSearchParams({ country: 'us', apiKey });
  const response = await fetch(`${url}/v2/headlines?${query}`, { headers: { 'x-request-id': id } });
  const body = await response.json();
  expect(response.ok && body.ok === true, `status ${response.status}`, body);
});
