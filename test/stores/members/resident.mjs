// Asks for a permit again and again, and tells each change in how that ends, with everything the store had to say.
import { setTimeout as delay } from 'node:timers/promises';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { loadDriver } from '#keymux/stores/sqlite/driver.js';

const [directory, user, text] = process.argv.slice(2);
loadDriver();
if (user !== '' && process.getuid() === 0) process.setuid(Number(user));
const notices = [];
const store = createSqliteStore({ now: Date.now, onNotice: (notice) => notices.push(notice), directory });
await store.open();

let isOver = false;
process.once('message', () => (isOver = true));
let latest;
for (let round = 0; !isOver; round += 1) {
  const outcome = await ask(round);
  if (outcome !== latest) process.send({ outcome, notices });
  latest = outcome;
  await delay(5);
}
await store.close();
process.disconnect();

async function ask(round) {
  const bucket = `p/${round % 500}${'x'.repeat(Number(text))}`;
  const windows = [{ requests: 1_000_000, perMs: 86_400_000 }];
  try {
    await store.lease({ bucket, windows, want: 1, ttlMs: 60_000, slackMs: 50 });
    return 'granted';
  } catch (error) {
    return error.code;
  }
}
