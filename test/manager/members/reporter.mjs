// Reports what it is told on stdin-less argv, then prints what it knows, or is killed in the act.
import { sharedManager } from './shared-manager.mjs';

const [keys, reports, mode] = process.argv.slice(2).map((text) => JSON.parse(text));
const manager = await sharedManager(keys);
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
