// Reports what it is told on stdin-less argv, then prints what it knows, or is killed in the act.
import { createKeyManager } from '../../../dist/manager/registry.js';

const [keys, reports, mode] = process.argv.slice(2).map((text) => JSON.parse(text));
const manager = createKeyManager({
  env: keys,
  cwd: process.env.KEYMUX_STATE_DIR,
  config: {
    providers: {
      acme: {
        baseUrl: 'http://127.0.0.1:9',
        auth: { in: 'header', name: 'x-api-key' },
        env: ['ACME_API_KEY'],
      },
    },
  },
});
await manager.ready;
for (const { keyId, kind, forMs } of reports) {
  manager.report(keyId, { kind, scope: 'key', executed: 'no', retryAt: manager.now() + forMs });
}
const known = manager.inspect().keys.map(({ id, state }) => [id, state]);
if (mode === 'die') {
  // Transitions are written when the running turn is over; then nothing is left to lose.
  await new Promise(setImmediate);
  process.stdout.write(JSON.stringify(known), () => process.kill(process.pid, 'SIGKILL'));
} else {
  await manager.shutdown();
  process.stdout.write(JSON.stringify(known));
}
