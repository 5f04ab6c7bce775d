// A manager for `acme` among others: tells what it hears on stdout, and does what each line of stdin says (JSON).
import { createInterface } from 'node:readline';
import { createKeyManager } from '../../../dist/manager/registry.js';

const { env, config } = JSON.parse(process.argv[2]);
const manager = createKeyManager({ env, cwd: process.env.KEYMUX_STATE_DIR, config });
const tell = (event, detail) => process.stdout.write(`${JSON.stringify({ event, ...detail })}\n`);
for (const name of ['leader', 'probe', 'recovered']) manager.on(name, (detail) => tell(name, detail));
let fence;
manager.on('leader', ({ change }) => {
  if (change === 'began') fence = manager.membership.fence;
});
await manager.ready;
tell('ready');

const methods = {
  states: () => Object.fromEntries(manager.inspect().keys.map(({ id, state }) => [id, state])),
  report: (...args) => manager.report(...args),
  leaders: async () => (await manager.store.census()).leaders.map(({ memberId }) => memberId),
  // What a leader would do that does not know that its time is over: here, take the provider out of use.
  publishUnderOldFence: async () => {
    const until = manager.now() + 3_600_000;
    const rest = { status: 'resting', version: 1_000, level: 1, reason: 'network', source: 'guessed', until };
    const record = { subject: 'provider:acme', health: rest, disabled: false, disabledVersion: 0 };
    try {
      await manager.store.publish([record], fence);
      return 'stored';
    } catch (error) {
      return error.code;
    }
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line);
  tell('answer', { value: (await methods[method](...args)) ?? null });
}
