// Spends one permit after another in a sealed store until there is none, or until it is killed (`on`); the log gets a
// letter for each that was granted.
import { openSync, writeSync } from 'node:fs';
import { createSealedStore } from '#keymux/stores/sealed-store.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';

const [directory, log, bucket, requests, then] = process.argv.slice(2);
const sqlite = createSqliteStore({ now: Date.now, onNotice: () => process.exit(9), directory });
const store = createSealedStore(sqlite, new Uint8Array(32).fill(7), () => process.exit(9));
await store.open();
process.send('ready');
await new Promise((resolve) => process.once('message', resolve));

const file = openSync(log, 'a');
const windows = [{ requests: Number(requests), perMs: 86_400_000 }];
for (let spent = 0; ; spent += 1) {
  const { granted, leaseId } = await store.lease({ bucket, windows, want: 1, ttlMs: 60_000, slackMs: 50 });
  if (granted === 0 && then === 'on') continue;
  if (granted === 0) break;
  writeSync(file, 'G');
  await store.settle([{ bucket, leaseId, spent: 1, countedAt: store.now(), returned: 0 }]);
  if (spent === 5) process.send('spending');
}
await store.close();
process.disconnect();
