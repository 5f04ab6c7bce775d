import { Outbox, Undelivered } from '#keymux/observe/alert-outbox.js';
import type { OutboxContext } from '#keymux/observe/alert-outbox.js';
import type { AlertPayload } from '#keymux/observe/alert-payload.js';
import { describe, expect, it } from 'vitest';

function outboxWith(deliver: OutboxContext['deliver'], more: Partial<OutboxContext> = {}) {
  const said: string[] = [];
  const outbox = new Outbox({
    deliver,
    onTrouble: (reason) => void said.push(reason),
    onRecovery: () => void said.push('again'),
    random: () => 0,
    firstPauseMs: 1,
    ...more,
  });
  return { outbox, said };
}

function numbered(index: number): AlertPayload {
  return { id: String(index) } as AlertPayload;
}

describe('an outbox', () => {
  it('delivers one message after the other, in their order', async () => {
    const seen: string[] = [];
    let underWay = 0;
    const { outbox } = outboxWith(async ({ id }) => {
      underWay += 1;
      expect(underWay).toBe(1);
      await new Promise(setImmediate);
      seen.push(id);
      underWay -= 1;
    });
    for (let i = 0; i < 5; i += 1) outbox.add(numbered(i));
    await outbox.close(10_000);
    expect(seen).toEqual(['0', '1', '2', '3', '4']);
    expect(outbox.counts).toEqual({ delivered: 5, failed: 0 });
    outbox.add(numbered(6));
    expect(outbox.counts).toEqual({ delivered: 5, failed: 0 });
  });

  it('keeps a hundred at most, the latest', async () => {
    const seen: string[] = [];
    let open: () => void = () => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    const { outbox, said } = outboxWith(async ({ id }) => {
      await gate;
      seen.push(id);
    });
    for (let i = 0; i < 150; i += 1) outbox.add(numbered(i));
    expect(outbox.counts.failed).toBe(49);
    expect(said).toEqual(['too many messages wait for it']);
    open();
    await outbox.close(10_000);
    expect(seen).toHaveLength(101);
    expect([seen[0], seen[1], seen.at(-1)]).toEqual(['0', '50', '149']);
    expect(said).toEqual(['too many messages wait for it', 'again']);
  });

  it('waits as long as the receiver asks', async () => {
    const times: number[] = [];
    const { outbox } = outboxWith(async () => {
      times.push(performance.now());
      if (times.length === 1) throw new Undelivered('later', { mayRetry: true, afterMs: 60 });
    });
    outbox.add(numbered(0));
    while (times.length < 2) await new Promise(setImmediate);
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(59);
    await outbox.close(0);
  });

  it('gives up a pause when it is closed', async () => {
    const { outbox, said } = outboxWith(
      async () => {
        throw new Undelivered('down', { mayRetry: true });
      },
      { firstPauseMs: 1_000_000 },
    );
    outbox.add(numbered(0));
    await new Promise(setImmediate);
    await outbox.close(10_000);
    expect(outbox.counts).toEqual({ delivered: 0, failed: 1 });
    expect(said).toEqual(['down']);
  });

  it('gives up what waits when its time is over', async () => {
    const { outbox } = outboxWith(
      (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Undelivered('stopped', { mayRetry: false })));
        }),
    );
    for (let i = 0; i < 3; i += 1) outbox.add(numbered(i));
    await outbox.close(10);
    expect(outbox.counts).toEqual({ delivered: 0, failed: 3 });
  });

  it('survives what nobody foresaw, and repeats nothing of it', async () => {
    const { outbox, said } = outboxWith(async () => {
      throw new Error('CANARY');
    });
    outbox.add(numbered(0));
    await outbox.close(10_000);
    expect(said).toEqual(['it failed in a way that nobody foresaw']);
  });
});
