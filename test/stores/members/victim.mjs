// Writes without pause until it is killed; the log tells what was begun (L) and what was granted (G).
import { openSync, writeSync } from 'node:fs';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';

const [directory, log] = process.argv.slice(2);
const store = createSqliteStore({ now: Date.now, onNotice: () => process.exit(9), directory });
await store.open();
const file = openSync(log, 'a');
const windows = [{ requests: 1_000_000, perMs: 86_400_000 }];
for (let round = 0; ; round += 1) {
  writeSync(file, 'L');
  const { leaseId } = await store.lease({ bucket: 'p/b', windows, want: 1, ttlMs: 1_000, slackMs: 50 });
  writeSync(file, 'G');
  await store.settle([{ bucket: 'p/b', leaseId, spent: 1, countedAt: store.now(), returned: 0 }]);
  const health = { status: 'healthy', version: round, level: 0, strikes: 0 };
  await store.publish([{ subject: `key:${round % 20}`, health, disabled: false, disabledVersion: 0 }]);
  if (round === 5) process.send('working');
}
