// A program that watches over its alerts, and has nothing more to do.
import { KeyManager } from '../../../dist/manager/key-manager.js';
import { startAlerts } from '../../../dist/observe/alerts.js';

const manager = new KeyManager({
  env: { ACME_API_KEY: 'key-one' },
  cwd: '/nonexistent',
  config: {
    store: { type: 'memory' },
    providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } },
    alerts: [{ when: 'quota', log: true }],
  },
});
startAlerts(manager, { lookEveryMs: 10 });
await manager.ready;
process.stdout.write('done');
