// Uses a store, perhaps closes it, and has nothing else to do.
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';

const [directory, how] = process.argv.slice(2);
process.disconnect();
const store = createSqliteStore({ now: Date.now, onNotice: () => process.exit(9), directory });
await store.open();
store.watch(() => {});
await store.addUsage([{ subject: 'key:a', requests: 1, failures: 0, costUsd: 0 }]);
if (how === 'close') await store.close();
