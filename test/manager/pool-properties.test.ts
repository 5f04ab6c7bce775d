import { SUCCESS } from '#keymux/core/outcome.js';
import type { OutcomeKind } from '#keymux/core/outcome.js';
import { COUNTER } from '#keymux/state/layout.js';
import type { Lease } from '#keymux/manager/lease.js';
import { strategies } from '#keymux/core/select.js';
import type { StrategyName } from '#keymux/core/select.js';
import { createFakeClock, seededRandom } from '#keymux/testing/fake-clock.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

const KEYS = ['acme/a', 'acme/b', 'acme/c'] as const;
const keyId = fc.constantFrom(...KEYS);
const kind = fc.constantFrom<OutcomeKind>(
  'success',
  'rate-limited',
  'quota-exhausted',
  'rejected',
  'restricted',
  'overloaded',
  'network',
  'bad-request',
  'aborted',
);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('acquire' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('report' as const), which: fc.nat(), kind, unsent: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('end' as const, 'cancel' as const), which: fc.nat() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('disable' as const, 'enable' as const, 'reset' as const),
      keyId,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('blame' as const), keyId, kind }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('fail' as const, 'mend' as const, 'reload' as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(10, 1_000, 6_000, 70_000) }),
  },
);

const strategy = fc.constantFrom(...(Object.keys(strategies) as StrategyName[]));

describe('a pool, whatever happens', () => {
  it('hands out no key that is disabled or rests, and forgets no lease', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        strategy,
        fc.boolean(),
        async (steps, chosen, shared) => {
          const clock = createFakeClock();
          const store = faultyStore(createMemoryStore({ now: clock.now, onNotice: () => {} }), {
            shared,
          });
          const manager = acmeManager({
            provider: {
              keys: [
                { id: 'a', value: 'env:K_A', limits: [{ requests: 3, per: 'second' }] },
                { id: 'b', value: 'env:K_B', bucket: 'common' },
                { id: 'c', value: 'env:K_C', bucket: 'common' },
              ],
              limits: [{ requests: 200, per: 'minute' }],
            },
            services: { quotes: { providers: ['acme'], strategy: chosen } },
            options: {
              clock: clock.now,
              random: seededRandom(1),
              store,
              env: { K_A: 'key-a', K_B: 'key-b', K_C: 'key-c' },
              logger: { warn: () => {}, info: () => {} },
            },
          });
          const out: Lease[] = [];
          const statesNow = () => new Map(manager.inspect().keys.map((key) => [key.id, key]));
          const acquire = async (): Promise<void> => {
            const before = statesNow();
            const lease = await manager.acquire('quotes', { timeoutMs: 0 }).catch(() => undefined);
            if (lease === undefined) return;
            out.push(lease);
            const state = before.get(lease.keyId)!;
            expect(state.state).not.toBe('disabled');
            if (state.until === undefined || state.state === 'out-of-permits') return;
            // The last resort: every key is out, and this one only by a guess that it is dead.
            expect(state).toMatchObject({ source: 'guessed' });
            expect(state.reason).not.toMatch(/^(rate-limited|overloaded|network)/);
            for (const other of before.values()) expect(other.state).not.toMatch(/^(ready)$/);
          };
          for (const now of steps) {
            if (now.do === 'acquire') await acquire();
            else if (now.do === 'pass') clock.advance(now.ms);
            else if (now.do === 'reload') manager.reload();
            else if (now.do === 'fail') store.fail({ operation: 'lease', from: 'onwards' });
            else if (now.do === 'mend') store.mend();
            else if (now.do === 'blame') manager.report(now.keyId, now.kind);
            else if ('keyId' in now) manager[now.do](now.keyId);
            else if ('which' in now && out.length > 0) {
              const index = now.which % out.length;
              const lease = out[index]!;
              if (now.do === 'report') {
                if (!now.unsent) lease.sent();
                lease.report({ kind: now.kind, scope: 'key', executed: now.unsent ? 'no' : 'maybe' });
              } else {
                lease[now.do]();
                out.splice(index, 1);
              }
            }
          }
          for (const lease of out) lease.end();
          for (const { member } of manager.poolOf('quotes').contenders) {
            for (const row of Object.values(member.rows)) {
              expect(manager.table.get(row, COUNTER.pending)).toBe(0);
              expect(manager.table.get(row, COUNTER.inFlight)).toBe(0);
            }
          }
          await manager.shutdown();
        },
      ),
      { numRuns: 150 },
    );
  });

  it('grants no more than the limit in any window, however its store does', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(400), { maxLength: 80 }),
        fc.infiniteStream(fc.nat(9)),
        async (waits, dice) => {
          const clock = createFakeClock();
          const store = faultyStore(createMemoryStore({ now: clock.now, onNotice: () => {} }), {
            shared: true,
          });
          const manager = acmeManager({
            keys: ['key-one'],
            provider: { limits: [{ requests: 5, perMs: 1_000 }] },
            options: { clock: clock.now, store, logger: { warn: () => {}, info: () => {} } },
          });
          const granted: number[] = [];
          for (const wait of waits) {
            clock.advance(wait);
            const [fate] = [...dice.take(1)];
            const how = wait % 2 === 0 ? 'rejects' : 'throws';
            if (fate === 0) store.fail({ operation: 'lease', from: 'onwards', how });
            if (fate === 1) store.mend();
            const lease = await manager.acquire('acme', { timeoutMs: 0 }).catch(() => undefined);
            if (lease === undefined) continue;
            granted.push(clock.now());
            if (fate === 2) {
              granted.pop();
              lease.cancel();
              continue;
            }
            lease.sent();
            lease.report(SUCCESS);
            lease.end();
          }
          granted.forEach((at, index) => {
            const sixth = granted[index + 5];
            if (sixth !== undefined) expect(sixth - at).toBeGreaterThan(1_000);
          });
          await manager.shutdown();
        },
      ),
      { numRuns: 60 },
    );
  });
});
