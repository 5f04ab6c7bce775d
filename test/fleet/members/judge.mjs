// A provider that counts on its own side, in a process of its own: by HTTP (the simulator), and on a plain socket
// (the till), where a line with a key's id spends one permit of it and is answered with an empty line.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { startSimulator } from '../../../dist/testing/simulator.js';
import { maxInAnyWindow } from '../../../dist/testing/rolling-window.js';

const providers = JSON.parse(process.argv[2]);
const spentAt = new Map();
const origins = {};

function spend(key, at) {
  const times = spentAt.get(key);
  if (times === undefined) spentAt.set(key, [at]);
  else times.push(at);
}

for (const [id, keys] of Object.entries(providers)) {
  const simulator = await startSimulator({
    keys: Object.fromEntries(keys.map((text) => [text, { name: text }])),
    auth: { in: 'header', name: 'x-api-key' },
    keepRequests: 0,
  });
  simulator.on('request', ({ key, at }) => spend(key ?? 'unknown', at));
  origins[id] = simulator.origin;
}

const till = createServer({ noDelay: true }, (socket) => {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('error', () => {});
  socket.on('data', (text) => {
    const at = performance.now();
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const key of lines) spend(key, at);
    socket.write('\n'.repeat(lines.length));
  });
});
till.listen(0, '127.0.0.1');
await once(till, 'listening');

function verdict({ perMs }) {
  return [...spentAt].map(([key, times]) => ({
    key,
    spent: times.length,
    most: maxInAnyWindow(times, perMs),
  }));
}

const answers = {
  verdict: (limit) => verdict(limit),
  spent: () => [...spentAt.values()].reduce((sum, times) => sum + times.length, 0),
};

process.on('message', ({ id, call, args }) => process.send({ id, result: answers[call](...args) ?? null }));
process.once('disconnect', () => process.exit());
process.send({ id: 0, result: { origins, port: till.address().port } });
