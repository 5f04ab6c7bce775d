// A member that is stopped (as by Ctrl-Z) in the middle of a write, and goes on with it when it is continued.
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { loadDriver } from '#keymux/stores/sqlite/driver.js';

const [directory] = process.argv.slice(2);
let stops = false;

class StoppedDriver extends loadDriver() {
  exec(sql) {
    if (stops && sql === 'COMMIT') {
      stops = false;
      process.kill(process.pid, 'SIGSTOP');
    }
    return super.exec(sql);
  }
}

const store = createSqliteStore(
  { now: Date.now, onNotice: () => process.exit(9), directory },
  { loadDriver: () => StoppedDriver },
);
await store.open();
process.send('ready');
await new Promise((resolve) => process.once('message', resolve));
stops = true;
await store.addUsage([{ subject: 'key:stopped', requests: 1, failures: 0, costUsd: 0 }]);
await store.close();
process.send('written');
process.disconnect();
