// Opens a store as a user without privileges, or under a limit that its parent set, and works until it fails.
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { loadDriver } from '#keymux/stores/sqlite/driver.js';

const [directory, user, rounds] = process.argv.slice(2);
loadDriver();
process.umask(0);
if (user !== '' && process.getuid() === 0) process.setuid(Number(user));
const notices = [];
const codes = [];
const store = createSqliteStore({ now: Date.now, onNotice: (notice) => notices.push(notice), directory });
await store.open();
const text = 'x'.repeat(4_000);
for (let round = 0; round < Number(rounds); round += 1) {
  try {
    await store.addUsage([{ subject: `key:${round}${text}`, requests: 1, failures: 0, costUsd: 0 }]);
  } catch (error) {
    codes.push(error.code);
  }
}
const windows = [{ requests: 3, perMs: 86_400_000 }];
let granted;
try {
  ({ granted } = await store.lease({ bucket: 'p/b', windows, want: 2, ttlMs: 60_000, slackMs: 50 }));
} catch (error) {
  codes.push(error.code);
}
process.send({ notices, granted, codes: [...new Set(codes)] });
process.disconnect();
