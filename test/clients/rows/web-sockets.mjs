/** The key is refused or accepted at the handshake; what counts is the first message of the feed. */
import { load } from './clients.mjs';

const feedOf = (origin) => `${origin.replace(/^http/, 'ws')}/feed`;

function firstMessageOfWs(socket) {
  return new Promise((resolve, reject) => {
    socket.on('message', (data) => {
      socket.once('close', () => resolve(String(data)));
      socket.close();
    });
    socket.on('error', reject);
  });
}

export const webSocketRows = [
  {
    name: 'ws, key in a header',
    call: async ({ origin, headers }) =>
      firstMessageOfWs(new (await load('ws'))(feedOf(origin), { headers })),
  },
  {
    name: 'ws, key in the query',
    site: 'query',
    call: async ({ origin, key }) =>
      firstMessageOfWs(new (await load('ws'))(`${feedOf(origin)}?apikey=${key}`)),
  },
  {
    name: 'WebSocket, key in the query',
    site: 'query',
    call: ({ origin, key }) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${feedOf(origin)}?apikey=${key}`);
        socket.onmessage = ({ data }) => {
          socket.onclose = () => resolve(data);
          socket.close();
        };
        socket.onerror = ({ error }) => reject(error ?? new Error('the WebSocket failed'));
      }),
  },
];
