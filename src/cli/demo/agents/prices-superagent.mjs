import superagent from 'superagent';
import { expect, work } from './work.mjs';

const apikey = process.env.ALPHAVANTAGE_API_KEY;
const url = process.env.ALPHAVANTAGE_URL;

await work({ agent: 'prices', pieces: 55, pauseMs: 150 }, async (id) => {
  const { body } = await superagent
    .get(`${url}/query`)
    .query({ function: 'GLOBAL_QUOTE', symbol: 'MSFT', apikey })
    .set('x-request-id', id);
  expect(body['Global Quote']?.['01. symbol'] === 'MSFT', 'no quote', body);
});
