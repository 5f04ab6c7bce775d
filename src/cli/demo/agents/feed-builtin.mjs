import { get } from 'node:http';
import { randomBytes } from 'node:crypto';
import { expect, work } from './work.mjs';

const token = process.env.FINNHUB_API_KEY;
const url = process.env.FINNHUB_URL;
const TICKS = 12;
const TEXT = 1;

/** Calls back with the text of each short frame of a server; https://www.rfc-editor.org/rfc/rfc6455#section-5.2. */
function readFrames(socket, head, onText) {
  let buffer = head;
  const read = () => {
    while (buffer.length >= 2 && buffer.length >= 2 + buffer[1]) {
      const end = 2 + buffer[1];
      if ((buffer[0] & 0x0f) === TEXT) onText(buffer.toString('utf8', 2, end));
      else socket.end();
      buffer = buffer.subarray(end);
    }
  };
  socket.on('data', (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    read();
  });
  read();
}

/** Reads ticks until there are enough, or the server says goodbye. */
function listen(id, enough) {
  return new Promise((resolve, reject) => {
    const request = get(`${url}/ws`, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        'x-finnhub-token': token,
        'x-request-id': id,
      },
    });
    request.on('upgrade', (_response, socket, head) => {
      let ticks = 0;
      socket.on('close', () => resolve(ticks));
      socket.on('error', reject);
      readFrames(socket, head, (text) => {
        if (JSON.parse(text).type === 'tick') ticks += 1;
        if (ticks === enough) socket.end();
      });
    });
    request.on('response', (response) => {
      response.resume();
      reject(new Error(`the handshake was answered with ${response.statusCode}`));
    });
    request.on('error', reject);
  });
}

await work({ agent: 'feed', pieces: 10, pauseMs: 100 }, async (id) => {
  // A feed that the server closes is opened again, as every feed client does; a refused handshake is a loss.
  let ticks = await listen(id, TICKS);
  if (ticks < TICKS) ticks += await listen(`${id}-again`, TICKS - ticks);
  expect(ticks >= TICKS, 'the feed broke off', ticks);
});
