/** Use that only the provider knows of, and a store that is in trouble while all members' use is to be added up. */
import { channel } from 'node:diagnostics_channel';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MOST_SUBJECTS, newBaselines } from '#keymux/core/anomaly-baselines.js';
import { newHistory } from '#keymux/core/anomaly-history.js';
import { newNames } from '#keymux/core/anomaly-newcomers.js';
import { newOutsideUse } from '#keymux/core/anomaly-outside.js';
import type { Store } from '#keymux/core/ports.js';
import type { AnomalyEvent } from '#keymux/manager/events.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { watchAnomalies } from '#keymux/observe/anomalies.js';
import { AnomalyWatch } from '#keymux/observe/anomaly-watch.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager, memoryStore } from '../manager/acme.js';
import type { AcmeOptions } from '../manager/acme.js';
import { serveProvider } from '../manager/provider-server.js';

const START = Date.UTC(2027, 0, 4);
const MINUTE_MS = 60_000;
const LIMIT = 1_000;
const KEYS = [
  { id: 'main', value: 'env:ACME_API_KEY', bucket: 'account' },
  { id: '2', value: 'env:ACME_API_KEY_2', bucket: 'account' },
];
const soon = { timeout: 15_000, interval: 5 };

/** A provider with one allowance for all keys, which others may spend, too. */
async function account(acme: AcmeOptions = {}, header = 'x-ratelimit-limit') {
  const end = Date.now() + 3_000_000;
  let left = LIMIT;
  const { origin } = await serveProvider((_, response) => {
    left -= 1;
    const headers = {
      [header]: String(LIMIT),
      'x-ratelimit-remaining': String(left),
      'x-ratelimit-reset': `${String(end - Date.now())}ms`,
    };
    response.writeHead(200, headers).end('{}');
  });
  const manager = acmeManager({
    ...acme,
    baseUrl: origin,
    provider: {
      keys: KEYS,
      ...acme.provider,
    },
  });
  return {
    manager,
    /** Requests of ours, one after the other. */
    send: async (requests = 1): Promise<void> => {
      for (let sent = 0; sent < requests; sent += 1) await (await manager.fetch('acme', '/x')).text();
    },
    /** Others spend so many units. */
    steal: (units: number): void => void (left -= units),
  };
}

const spentOf = (manager: KeyManager): ReadonlyMap<string, number> =>
  new Map(manager.inspect().keys.map(({ id, uses }) => [id, uses]));

const briefly = (found: readonly AnomalyEvent[]): string[] =>
  found.map(({ kind, subject }) => `${kind} ${subject}`);

describe('use outside keymux', () => {
  it('is found where an allowance shrinks by more than the requests of all', async () => {
    const { manager, send, steal } = await account();
    const watch = new AnomalyWatch(manager, newBaselines());
    onTestFinished(() => watch.close());
    let at = START;
    // The second key came after what all have spent was added up.
    const spent = (): ReadonlyMap<string, number> => new Map([...spentOf(manager)].slice(0, 1));
    const look = (): string[] => briefly(watch.look((at += MINUTE_MS), spent()));
    for (let minute = 0; minute < 25; minute += 1) {
      await send();
      expect(look()).toEqual([]);
    }
    steal(100);
    await send();
    expect(look()).toEqual(['outside-use acme/main']);
  });

  it.each([
    ['a limit', 'x-nothing'],
    ['anything', undefined],
  ])('is not looked for where the provider does not state %s', async (_, header) => {
    const { manager, send, steal } = await account({}, header);
    const baselines = newBaselines();
    const watch = new AnomalyWatch(manager, baselines);
    onTestFinished(() => watch.close());
    if (header !== undefined) await send();
    steal(100);
    expect(watch.look(START, spentOf(manager))).toEqual([]);
    expect([...baselines.outside.values()]).toEqual([newOutsideUse()]);
  });

  it.each([
    ['others', 'other 0'],
    ['a key, but not its service', 'acme/main'],
  ])('is not looked for, nor anything else, of more subjects than can be kept: of %s', async (_, known) => {
    const { manager, send } = await account();
    const baselines = newBaselines();
    baselines.uses.set(known, newHistory(START));
    for (let count = 1; count < MOST_SUBJECTS; count += 1)
      baselines.uses.set(`other ${count}`, newHistory(START));
    for (let count = 0; count < MOST_SUBJECTS; count += 1) {
      baselines.callers.set(`other ${count}`, newNames(START));
      baselines.routes.set(`other ${count}`, newNames(START));
      baselines.outside.set(`other ${count}`, newOutsideUse());
    }
    const watch = new AnomalyWatch(manager, baselines);
    onTestFinished(() => watch.close());
    watch.look(START, spentOf(manager));
    manager.accesses.note('request', 'acme', 'acme/main', 'gateway token ci');
    await send(40);
    expect(watch.look(START + MINUTE_MS, spentOf(manager))).toEqual([]);
    for (const entries of Object.values(baselines)) expect(entries.size).toBe(MOST_SUBJECTS);
  });
});

/** A store of this process that says it is shared, with an answer of its own to what all have spent. */
function sharedStore(usage: () => unknown): Store {
  const replaced: Readonly<Record<PropertyKey, unknown>> = { shared: true, kind: 'sqlite', usage };
  return new Proxy(memoryStore(), {
    get: (target, name) => {
      const value: unknown = name in replaced ? replaced[name] : Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Watched as programs are, by a clock that stands still but for `looked`. */
function detecting(manager: KeyManager, stateFolder = ownFolder()) {
  let at = START;
  let readings = 0;
  const now = (): number => {
    readings += 1;
    return at;
  };
  const events: AnomalyEvent[] = [];
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  manager.on('anomaly', (event) => void events.push(event));
  const detection = watchAnomalies(manager, {
    env: { KEYMUX_STATE_DIR: stateFolder },
    lookEveryMs: 1,
    now,
    logger: { warn, info: warn },
  });
  onTestFinished(() => detection.stop());
  return {
    detection,
    warnings,
    outside: () => briefly(events).filter((found) => found.startsWith('outside-use')),
    /** A minute later, until a look that began then is over. */
    looked: async (): Promise<void> => {
      at += MINUTE_MS;
      const before = readings;
      // Each look reads the clock once, and the first of these may have begun before.
      await expect.poll(() => readings, soon).toBeGreaterThan(before + 1);
    },
  };
}

function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-allowances-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Sends request after request, each seen by a look of its own; then others spend 300 units. */
async function robbed(store?: Store, onTheft: () => void = () => {}) {
  const { manager, send, steal } = await account(store === undefined ? {} : { options: { store } });
  await manager.ready;
  const detected = detecting(manager);
  for (let count = 0; count < 25; count += 1) {
    await send();
    await detected.looked();
  }
  steal(300);
  onTheft();
  await send();
  await detected.looked();
  return { ...detected, manager };
}

describe('the watch of a program', () => {
  it('finds what others spend where nobody shares its store', async () => {
    expect((await robbed()).outside()).toEqual(['outside-use acme/main']);
  });

  it('adds up what all spend that share its store, and finds more than that', async () => {
    let others = 0;
    const managers: KeyManager[] = [];
    const usage = (): unknown =>
      managers[0]?.inspect().keys.map(({ id, uses }) => ({
        subject: managers[0]?.subjectOf(id),
        requests: uses + (id === 'acme/main' ? others : 0),
      })) ?? [];
    const store = sharedStore(usage);
    const { manager, send, steal } = await account({ options: { store } });
    managers.push(manager);
    await manager.ready;
    const { outside, looked } = detecting(manager);
    for (let count = 0; count < 25; count += 1) {
      await send();
      await looked();
    }
    steal(300);
    others = 300;
    await send();
    await looked();
    expect(outside()).toEqual([]);
    steal(300);
    await send();
    await looked();
    expect(outside()).toEqual(['outside-use acme/main']);
  });

  it.each([
    ['fails', (): Promise<never> => Promise.reject(new Error('The store is gone.'))],
    ['knows none of its keys', (): Promise<unknown[]> => Promise.resolve([])],
  ])('accuses nobody where its store %s', async (_, usage) => {
    const { outside, warnings } = await robbed(sharedStore(usage));
    expect(outside()).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it('goes on where its store does not answer', async () => {
    const { manager, send } = await account({
      options: { store: sharedStore(() => new Promise(() => {})) },
    });
    await manager.ready;
    await send();
    const events: AnomalyEvent[] = [];
    manager.on('anomaly', (event) => void events.push(event));
    detecting(manager);
    channel('keymux:origin-refused').publish({ provider: 'acme', origin: 'https://evil.test' });
    await expect.poll(() => briefly(events), soon).toEqual(['new-origin acme']);
  });

  it('asks nothing of a store that is lost', async () => {
    let asked = 0;
    const store = sharedStore(() => (asked += 1));
    const lost = new Proxy(store, {
      get: (target, name, receiver) =>
        name === 'open'
          ? () => Promise.reject(new Error('The disk is gone.'))
          : (Reflect.get(target, name, receiver) as unknown),
    });
    const { manager, send } = await account({ options: { store: lost } });
    await manager.ready;
    await send();
    expect(manager.inspect().store.trouble).toContain('The disk is gone');
    const { looked } = detecting(manager);
    await looked();
    expect(asked).toBe(0);
  });

  it('says once what keeps it from looking, and looks again', async () => {
    let asked = 0;
    const store = sharedStore(() => {
      asked += 1;
      throw new Error('The store is of another make.');
    });
    const { manager, send } = await account({ options: { store } });
    await manager.ready;
    await send();
    const { detection, warnings } = detecting(manager);
    await expect.poll(() => asked, soon).toBeGreaterThan(2);
    await detection.stop();
    expect(warnings).toEqual([
      expect.stringContaining('could not be looked at: The store is of another make.'),
    ]);
  });

  it('loses no key that is taken away while the store is asked', async () => {
    let answer: (totals: unknown[]) => void = () => {};
    let isAsked = false;
    const store = sharedStore(() => {
      isAsked = true;
      return new Promise((resolve) => (answer = resolve));
    });
    const { manager, send } = await account({ options: { store } });
    await manager.ready;
    await send();
    const { warnings, detection } = detecting(manager);
    await expect.poll(() => isAsked, soon).toBe(true);
    manager.retireKey('acme/2');
    answer([]);
    await detection.stop();
    expect(warnings).toEqual([]);
  });

  it('learns anew where what it learnt cannot be read, and says so', async () => {
    const folder = ownFolder();
    writeFileSync(join(folder, 'anomalies'), 'a file where a folder belongs');
    const { manager } = await account({ options: { store: sharedStore(() => []) } });
    const { detection, warnings } = detecting(manager, folder);
    await detection.stop();
    expect(warnings).toEqual([
      expect.stringMatching(/could not be looked at: .*ENOTDIR/),
      expect.stringContaining('cannot be written'),
    ]);
    expect(readFileSync(join(folder, 'anomalies'), 'utf8')).toBe('a file where a folder belongs');
  });
});
