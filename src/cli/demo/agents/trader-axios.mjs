import axios from 'axios';
import { expect, work } from './work.mjs';

const broker = axios.create({
  baseURL: process.env.ACME_URL,
  headers: { 'x-api-key': process.env.ACME_API_KEY },
});

// An order must never be carried out twice, and the broker knows no idempotency keys.
await work({ agent: 'trader', pieces: 80, pauseMs: 200, atOnce: 2 }, async (id) => {
  const order = { id, symbol: 'AAPL', side: 'buy', quantity: 1 };
  const { data } = await broker.post('/v1/orders', order, { headers: { 'x-request-id': id } });
  expect(data.ok === true, 'no confirmation', data);
});
