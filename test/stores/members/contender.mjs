// Leases one permit after another until told the time is up, and reports when each was spent on the shared clock.
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';

const [directory, requests, perMs, durationMs] = process.argv.slice(2);
const store = createSqliteStore({ now: Date.now, onNotice: () => {}, directory });
await store.open();
process.send('ready');
await new Promise((resolve) => process.once('message', resolve));

const windows = [{ requests: Number(requests), perMs: Number(perMs) }];
const spentAt = [];
const end = store.now() + Number(durationMs);
while (store.now() < end) {
  const { granted, leaseId } = await lease();
  if (granted === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    continue;
  }
  const countedAt = store.now();
  spentAt.push(countedAt);
  // One of two permits is spent, the other goes back.
  await store.settle([{ bucket: 'p/b', leaseId, spent: 1, countedAt, returned: granted - 1 }]);
}
await store.close();
process.send({ spentAt });
process.disconnect();

/** On a machine that is short of time the patience for the lock may end. */
async function lease() {
  try {
    return await store.lease({ bucket: 'p/b', windows, want: 2, ttlMs: 500, slackMs: 1 });
  } catch (error) {
    if (error.code !== 'KEYMUX_STORE_UNAVAILABLE') throw error;
    return { granted: 0 };
  }
}
