// Opens the store together with others, and does a little of everything.
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';

const [directory, name] = process.argv.slice(2);
const notices = [];
const store = createSqliteStore({ now: Date.now, onNotice: (notice) => notices.push(notice), directory });
process.send('ready');
await new Promise((resolve) => process.once('message', resolve));
await store.open();
const health = { status: 'healthy', version: 1, level: 0, strikes: 0 };
await store.publish([{ subject: `key:${name}`, health, disabled: false, disabledVersion: 0 }]);
const windows = [{ requests: 15, perMs: 86_400_000 }];
const { granted } = await store.lease({ bucket: 'p/b', windows, want: 2, ttlMs: 60_000, slackMs: 50 });
process.send({ granted, notices, now: store.now() });
await new Promise((resolve) => process.once('message', resolve));
await store.close();
process.disconnect();
