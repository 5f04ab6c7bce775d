import { SUCCESS } from '#keymux/core/outcome.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import type { ObservedEvent } from '#keymux/manager/observation.js';
import { KEPT_EVENTS } from '#keymux/observe/event-log.js';
import { createObservation } from '#keymux/observe/observation.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { acmeManager } from '../manager/acme.js';
import type { AcmeOptions } from '../manager/acme.js';

function observed(acme: AcmeOptions = {}) {
  const clock = createFakeClock();
  const manager = acmeManager({ ...acme, options: { clock: clock.now, ...acme.options } });
  const observation = createObservation(manager);
  onTestFinished(() => observation.close());
  return { clock, manager, observation };
}

async function answer(manager: KeyManager): Promise<void> {
  await using lease = await manager.acquire('acme', { timeoutMs: 0 });
  lease.report(SUCCESS);
}

function names(events: readonly ObservedEvent[]): string[] {
  return events.map(({ name }) => name);
}

describe('the series of an observation', () => {
  it('tell of every provider, or of one key', async () => {
    const { clock, manager, observation } = observed();
    await answer(manager);
    clock.advance(10_000);
    await answer(manager);
    const lastMs = 20_000;
    const at = Math.floor(clock.now() / 10_000) * 10_000;
    const counts = [
      [at - 10_000, 1],
      [at, 1],
    ];
    for (const [query, subject] of [
      [{ lastMs }, 'acme'],
      [{ lastMs, subject: 'acme' }, 'acme'],
      [{ lastMs, subject: 'acme/main' }, 'acme/main'],
    ] as const) {
      const [series, ...more] = observation.series(query);
      expect(more).toEqual([]);
      expect(series?.subject).toBe(subject);
      expect(series?.slots.map((slot) => [slot.at, slot.attempts])).toEqual(counts);
    }
    const [idle] = observation.series({ subject: 'acme/2' });
    expect(idle?.slots).toHaveLength(360);
    expect(idle?.slots.every(({ attempts }) => attempts === 0)).toBe(true);
  });

  it('go by a clock of their own where they are given one', () => {
    const manager = acmeManager();
    const observation = createObservation(manager, { now: () => 50_000 });
    onTestFinished(() => observation.close());
    expect(observation.series({ lastMs: 1 })[0]?.slots).toEqual([{ at: 50_000, attempts: 0, outcomes: {} }]);
    expect(observation.slotMs).toBe(10_000);
  });
});

describe('the events of an observation', () => {
  it('leave attempts out, and grow in number', async () => {
    const { clock, manager, observation } = observed();
    await answer(manager);
    manager.report('acme/main', 'rejected');
    manager.reset('acme/main');
    manager.report('acme/2', {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: clock.now() + 1_000,
    });
    const events = observation.events();
    expect(names(events)).toContain('rejected');
    expect(names(events)).toContain('cooldown');
    expect(names(events)).not.toContain('attempt');
    const ids = events.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(observation.events({ after: ids.at(-2)! })).toEqual(events.slice(-1));
    expect(observation.events({ after: ids.at(-1)! })).toEqual([]);
  });

  it('of a key are its own, those of its bucket and those of its provider', () => {
    const config = {
      providers: {
        acme: {
          baseUrl: 'http://127.0.0.1:9',
          auth: { in: 'header', name: 'x-api-key' },
          keys: [
            { id: 'one', value: 'env:ONE', bucket: 'team' },
            { id: 'two', value: 'env:TWO' },
          ],
        },
      },
    } as NonNullable<NonNullable<AcmeOptions['options']>['config']>;
    const { manager, observation } = observed({ options: { config, env: { ONE: 'key-1', TWO: 'key-2' } } });
    manager.report('acme/one', 'rejected');
    manager.report('acme/two', 'rejected');
    manager.report('acme/one', { kind: 'rate-limited', scope: 'bucket', executed: 'no' });
    for (let i = 0; i < 5; i++) manager.report('acme/two', 'overloaded');
    const subjects = (subject?: string): unknown[] =>
      observation
        .events(subject === undefined ? {} : { subject })
        .map(({ event }) => (event as { subject?: string }).subject);
    expect(subjects()).toEqual(['acme/one', 'acme/two', 'acme/team', 'acme']);
    expect(subjects('acme/one')).toEqual(['acme/one', 'acme/team', 'acme']);
    expect(subjects('acme/two')).toEqual(['acme/two', 'acme']);
    expect(subjects('acme')).toEqual(subjects());
    expect(subjects('other')).toEqual([]);
    expect(subjects('other/key')).toEqual([]);
  });

  it(`are the last ${KEPT_EVENTS}`, () => {
    const { clock, manager, observation } = observed();
    for (let keys = 0; keys < KEPT_EVENTS + 5; keys++) {
      manager.events.emit('reloaded', { keys, at: clock.now() });
    }
    const events = observation.events();
    expect(events).toHaveLength(KEPT_EVENTS);
    expect(events[0]?.event).toMatchObject({ keys: 5 });
    expect(events.at(-1)?.event).toMatchObject({ keys: KEPT_EVENTS + 4 });
    expect(events.at(-1)?.id).toBe(KEPT_EVENTS + 5);
  });
});

describe('who follows an observation', () => {
  it('is told of everything until it stops', async () => {
    const { manager, observation } = observed();
    const told: ObservedEvent[] = [];
    const stop = observation.follow((event) => told.push(event));
    await answer(manager);
    manager.report('acme/main', 'rejected');
    expect(names(told)).toEqual(['attempt', 'rejected']);
    expect(told.map(({ id }) => id)).toEqual([1, 2]);
    stop();
    await answer(manager);
    expect(told).toHaveLength(2);
    expect(observation.events().at(-1)?.id).toBe(2);
  });

  it('does not keep the news from others by failing', () => {
    const { manager, observation } = observed();
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => warned.mockRestore());
    const told: ObservedEvent[] = [];
    observation.follow(() => {
      throw new Error('out of paper');
    });
    observation.follow((event) => told.push(event));
    manager.report('acme/main', 'rejected');
    expect(names(told)).toEqual(['rejected']);
    expect(String(warned.mock.calls[0]?.[0])).toContain('out of paper');
  });

  it('hears nothing after the end, and the manager makes no events for nobody', () => {
    const { manager, observation } = observed();
    const told: ObservedEvent[] = [];
    observation.follow((event) => told.push(event));
    expect(manager.events.isHeard('attempt')).toBe(true);
    observation.close();
    observation.close();
    manager.report('acme/main', 'rejected');
    expect(told).toEqual([]);
    expect(manager.events.isHeard('attempt')).toBe(false);
    expect(manager.events.isHeard('request')).toBe(false);
  });
});
