// A store of your own: what is known of keys outlives the process in one JSON file. It keeps to the contract by building on
// the memory store; `storeContract` of keymux/testing checks one that is written from scratch.
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyManager, createMemoryStore } from 'keymux';
import { refuse, startSimulator } from 'keymux/testing';

function createFileStore(path) {
  const memory = createMemoryStore({ now: Date.now, onNotice: ({ message }) => console.warn(message) });
  const known = new Map();
  return {
    kind: 'memory',
    shared: false,
    now: () => memory.now(),
    open() {
      memory.open();
      for (const record of read(path)) known.set(record.subject, record);
      memory.publish([...known.values()]);
      return memory.open();
    },
    publish(records, fence) {
      const standing = memory.publish(records, fence);
      for (const record of standing) known.set(record.subject, record);
      writeFileSync(`${path}.new`, JSON.stringify([...known.values()]), { mode: 0o600 });
      renameSync(`${path}.new`, path);
      return standing;
    },
    watch: (onChange) => memory.watch(onChange),
    lease: (request) => memory.lease(request),
    settle: (settlements) => memory.settle(settlements),
    charge: (charges, options) => memory.charge(charges, options),
    addUsage: (deltas) => memory.addUsage(deltas),
    usage: () => memory.usage(),
    beat: (presence) => memory.beat(presence),
    leave: (memberId) => memory.leave(memberId),
    census: () => memory.census(),
    close: () => memory.close(),
  };
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

const provider = await startSimulator({
  keys: {
    'key-one': { name: 'one', always: refuse(429, { retryAfterSeconds: 60 }) },
    'key-two': { name: 'two' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
const path = join(folder, 'state.json');

for (const life of ['first', 'second']) {
  const manager = createKeyManager({
    env: { ACME_API_KEY: 'key-one', ACME_API_KEY_2: 'key-two' },
    config: { providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } } },
    store: createFileStore(path),
  });
  await manager.ready;
  const before = provider.requests.length;
  await (await manager.fetch('acme', '/quote')).text();
  await manager.shutdown();
  console.log(
    `${life} life: ${provider.requests
      .slice(before)
      .map(({ key }) => key)
      .join(' -> ')}`,
  );
}
console.log('a key stands in the file:', readFileSync(path, 'utf8').includes('key-one'));
await provider.close();
rmSync(folder, { recursive: true, force: true });
