import { once } from 'node:events';
import { setEnvironmentData, Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { sharedTable, shareTable, unshareTable } from '#keymux/state/attach.js';
import { COUNTER } from '#keymux/state/layout.js';
import { StateTable } from '#keymux/state/table.js';

const ATTACH = JSON.stringify(new URL('../../dist/state/attach.js', import.meta.url).href);

/** Counts one use of `key:a` in whatever table the thread finds, and answers with what it was given. */
const VISIT = `
  import(${ATTACH}).then(({ sharedTable }) => {
    const shared = sharedTable();
    shared?.table.add(shared.table.subject('key:a'), ${COUNTER.uses}, 1);
    const isSame = shared?.table === sharedTable()?.table;
    require('node:worker_threads').parentPort.postMessage({ found: shared !== undefined, isSame, payload: shared?.payload });
  });`;

const NESTED = `
  const { Worker, parentPort } = require('node:worker_threads');
  new Worker(${JSON.stringify(VISIT)}, { eval: true }).on('message', (m) => parentPort.postMessage(m));`;

async function answerOf(code: string): Promise<unknown> {
  const worker = new Worker(code, { eval: true });
  try {
    const [answer] = (await once(worker, 'message')) as [unknown];
    return answer;
  } finally {
    await worker.terminate();
  }
}

afterEach(() => {
  unshareTable();
});

describe('shareTable', () => {
  it.each([
    ['a worker of evaluated code', VISIT],
    ['a worker that a worker started', NESTED],
  ])('reaches %s', async (_title, code) => {
    const table = StateTable.create();
    shareTable(table, { keys: ['acme/main'], limit: 5 });
    expect(await answerOf(code)).toEqual({
      found: true,
      isSame: true,
      payload: { keys: ['acme/main'], limit: 5 },
    });
    expect(table.get(table.subject('key:a'), COUNTER.uses)).toBe(1);
  });

  it('gives the sharing thread its own table back', () => {
    const table = StateTable.create({ now: () => 7_000 });
    shareTable(table);
    expect(sharedTable()?.table).toBe(table);
    expect(sharedTable()?.payload).toBeUndefined();
  });

  it('keeps the payload as it was when it was shared', () => {
    const payload = { keys: ['acme/main'] };
    shareTable(StateTable.create(), payload);
    payload.keys.push('acme/spare');
    expect(sharedTable()?.payload).toEqual({ keys: ['acme/main'] });
  });

  it('refuses a payload that cannot be copied, and shares nothing', () => {
    expect(() => shareTable(StateTable.create(), { run: () => 1 })).toThrowError(
      expect.objectContaining({ code: 'KEYMUX_USAGE', fix: expect.stringContaining('plain data') as string }),
    );
    expect(sharedTable()).toBeUndefined();
  });
});

describe('unshareTable', () => {
  it('leaves later workers without a table', async () => {
    shareTable(StateTable.create());
    unshareTable();
    expect(await answerOf(VISIT)).toMatchObject({ found: false });
  });
});

describe('sharedTable', () => {
  it('takes nothing that is not a table', () => {
    const strange: Parameters<typeof setEnvironmentData>[1][] = ['text', {}, { buffer: 'text' }];
    for (const data of strange) {
      setEnvironmentData('keymux', data);
      expect(sharedTable()).toBeUndefined();
    }
  });

  it('refuses a table of another layout', () => {
    setEnvironmentData('keymux', { buffer: new SharedArrayBuffer(4_096) });
    expect(() => sharedTable()).toThrowError(expect.objectContaining({ code: 'KEYMUX_TABLE_MISMATCH' }));
  });
});
