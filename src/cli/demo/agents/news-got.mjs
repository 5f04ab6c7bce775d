import got from 'got';
import { expect, work } from './work.mjs';

const apiKey = process.env.NEWSWIRE_API_KEY;
const url = process.env.NEWSWIRE_URL;

await work({ agent: 'news', pieces: 60, pauseMs: 110 }, async (id) => {
  const body = await got(`${url}/v2/headlines`, {
    searchParams: { country: 'us', apiKey },
    headers: { 'x-request-id': id },
    retry: { limit: 0 },
  }).json();
  expect(body.ok === true, 'no headlines', body);
});
