import WebSocket from 'ws';
import { expect, work } from './work.mjs';

const token = process.env.FINNHUB_API_KEY;
const url = process.env.FINNHUB_URL.replace('http', 'ws');
const TICKS = 12;

/** Reads ticks until there are enough, or the server says goodbye. */
function listen(id, enough) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url}/ws`, {
      headers: { 'x-finnhub-token': token, 'x-request-id': id },
    });
    let ticks = 0;
    socket.on('message', (message) => {
      if (JSON.parse(message).type === 'tick') ticks += 1;
      if (ticks === enough) socket.close();
    });
    socket.on('close', () => resolve(ticks));
    socket.on('error', reject);
  });
}

await work({ agent: 'feed', pieces: 10, pauseMs: 100 }, async (id) => {
  // A feed that the server closes is opened again, as every feed client does; a refused handshake is a loss.
  let ticks = await listen(id, TICKS);
  if (ticks < TICKS) ticks += await listen(`${id}-again`, TICKS - ticks);
  expect(ticks >= TICKS, 'the feed broke off', ticks);
});
