// The provider of the gateway's soak, a process: streams that go on when its parent says so. `process.argv[2]` servers,
// each on a port of its own. Orders: `tick` sends an event on each stream, `end` ends them, `cut` breaks them off, `rest`
// closes the connections that carry nothing.
import { createServer } from 'node:http';
import { once } from 'node:events';

const FLOOD_BYTES = 64 * 1_048_576;
const PIECE = Buffer.alloc(65_536, 'x');

const open = new Set();
/** Each with how many answers it carries. */
const connections = new Map();
let flooded = 0;

function flood(response) {
  let left = FLOOD_BYTES;
  const goOn = () => {
    while (left > 0) {
      left -= PIECE.length;
      flooded += PIECE.length;
      if (!response.write(PIECE)) return void response.once('drain', goOn);
    }
    response.end();
  };
  goOn();
}

function answer(request, response) {
  const { socket } = request;
  connections.set(socket, connections.get(socket) + 1);
  response.once('close', () => {
    if (connections.has(socket)) connections.set(socket, connections.get(socket) - 1);
  });
  request.resume();
  if (request.url === '/flood') {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    return flood(response);
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: first\n\n');
  open.add(response);
  response.once('close', () => open.delete(response));
}

const ORDERS = {
  tick: () => open.forEach((response) => response.write('data: tick\n\n')),
  end: () => open.forEach((response) => response.end('data: last\n\n')),
  cut: () => open.forEach((response) => response.destroy()),
  // Node's own way leaves those on which nothing was ever asked; undici opens one for each request that is aborted.
  rest: () => connections.forEach((answers, socket) => answers === 0 && socket.destroy()),
  look: () => {},
};

const servers = Array.from({ length: Number(process.argv[2]) }, () =>
  createServer(answer)
    .on('connection', (socket) => {
      connections.set(socket, 0);
      socket.once('close', () => connections.delete(socket));
    })
    .listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }),
);
await Promise.all(servers.map((server) => once(server, 'listening')));
process.on('message', ({ order }) => {
  ORDERS[order]();
  process.send({ open: open.size, connections: connections.size, flooded });
});
process.once('disconnect', () => process.exit());
process.send({ ports: servers.map((server) => server.address().port), floodBytes: FLOOD_BYTES });
