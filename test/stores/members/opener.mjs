// Opens the store together with others, and does a little of everything.
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';

const [directory, name] = process.argv.slice(2);
const notices = [];
// That the file was locked for long is no news here; that it was set aside is.
const onNotice = (notice) => (notice.kind === 'set-aside' ? notices.push(notice) : undefined);
const store = createSqliteStore({ now: Date.now, onNotice, directory });
process.send('ready');
await new Promise((resolve) => process.once('message', resolve));
await store.open();
const health = { status: 'healthy', version: 1, level: 0, strikes: 0 };
await store.publish([{ subject: `key:${name}`, health, disabled: false, disabledVersion: 0 }]);
const windows = [{ requests: 15, perMs: 86_400_000 }];
const granted = await lease();
process.send({ granted, notices, now: store.now() });
await new Promise((resolve) => process.once('message', resolve));
await store.close();
process.disconnect();

/** As a request would: on a machine that is short of time the patience for the lock may end. */
async function lease() {
  for (;;) {
    try {
      const grant = await store.lease({ bucket: 'p/b', windows, want: 2, ttlMs: 60_000, slackMs: 50 });
      return grant.granted;
    } catch (error) {
      if (error.code !== 'KEYMUX_STORE_UNAVAILABLE') throw error;
    }
  }
}
