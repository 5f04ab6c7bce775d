import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { KeymuxError } from '#keymux/core/errors.js';
import { KEY_POLICY, type HealthEvent } from '#keymux/core/health.js';
import { StateTable } from '#keymux/state/table.js';
import {
  explore,
  type Model,
  type Note,
  type Program,
  type Reached,
  sequentialEnds,
  STEPPING_GLOBALS,
} from './interleavings.js';

const NOW = Date.UTC(2026, 0, 2, 12);
const BUCKET = 'acme/main';
const MINUTE = { requests: 2, perMs: 60_000 };

beforeAll(() => {
  for (const [name, value] of Object.entries(STEPPING_GLOBALS)) vi.stubGlobal(name, value);
  // Tables that are attached go on by it, and a search takes time.
  vi.spyOn(process, 'hrtime').mockReturnValue([1_000, 0]);
});

afterAll(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function smallTable(): StateTable {
  return StateTable.create({ subjects: 4, buckets: 1, arenaBytes: 2_048, now: () => NOW });
}

/** A thread that took from the bucket before, so that the beginning of a day is behind it. */
function opened(table: StateTable, requests: number, perMs = MINUTE.perMs): number {
  const bucket = table.bucket(BUCKET, [{ requests, perMs }]);
  table.left(bucket, NOW);
  return bucket;
}

function taker(requests: number): Program {
  return (table) => {
    const bucket = opened(table, requests);
    return (note) => note(table.take(bucket, NOW) < 0 ? 'refused' : 'granted');
  };
}

function countOf({ notes }: Reached, fact: string): number {
  return Object.values(notes)
    .flat()
    .filter((noted) => noted === fact).length;
}

/** Permits that were granted and not given back. */
function held(reached: Reached): number {
  return countOf(reached, 'granted') - countOf(reached, 'gives back');
}

/** Every interleaving ends as one of the orders does in which nothing happens at the same time. */
function expectAsInSomeOrder(model: Omit<Model, 'check'>, see: (reached: Reached) => string): void {
  const whole = { ...model, check: () => undefined };
  const allowed = sequentialEnds(whole, see);
  const seen = new Set<string>();
  explore({
    ...model,
    check: (reached) => {
      if (reached.ended.size < Object.keys(model.programs).length) return undefined;
      const end = see(reached);
      seen.add(end);
      return allowed.has(end) ? undefined : `${end} is none of ${[...allowed].join(' / ')}`;
    },
  });
  expect(seen).toEqual(allowed);
}

describe('the search', () => {
  const counting = (add: (table: StateTable) => void): Model => ({
    table: smallTable(),
    programs: { a: (table) => () => add(table), b: (table) => () => add(table) },
    check: ({ table, ended }) =>
      ended.size === 2 && table.get(0, 8) !== 2 ? `counted ${table.get(0, 8)} of 2` : undefined,
  });

  it('finds a lost update, with a shortest trace', () => {
    const careless = (table: StateTable): void => table.set(0, 8, table.get(0, 8) + 1);
    expect(() => explore(counting(careless))).toThrow(/^counted 1 of 2\n( {2}[ab] (load|store).*\n?){4}$/);
  });

  it('finds nothing where there is nothing, and counts what it saw', () => {
    const careful = (table: StateTable): void => void table.add(0, 8, 1);
    expect(explore(counting(careful))).toEqual({ states: 5, ends: 2 });
  });

  it('gives up on a program that runs in a circle', () => {
    const waiting: Program = (table) => () => {
      while (table.get(0, 8) === 0);
    };
    const model = { table: smallTable(), programs: { waiting }, check: () => undefined };
    expect(() => explore(model)).toThrow(/waiting runs in a circle/);
  });
});

describe('threads that take permits at once', () => {
  it('get no more than the limit, and all of it, though any of them stops anywhere', () => {
    const table = smallTable();
    opened(table, 1);
    const { ends } = explore({
      table,
      programs: { a: taker(1), b: taker(1), c: taker(1) },
      check: (reached) => {
        if (held(reached) > 1) return 'more than the limit';
        return reached.ended.size === 3 && held(reached) === 0 ? 'nobody got the permit' : undefined;
      },
    });
    expect(ends).toBeGreaterThan(3);
  });

  it('are not kept from a permit by one that stopped before it had it', () => {
    const table = smallTable();
    opened(table, 1);
    explore({
      table,
      programs: { a: taker(1), b: taker(1) },
      check: ({ ended, notes }) =>
        [...ended].length === 1 && notes[[...ended][0] ?? '']?.[0] === 'refused'
          ? 'refused while nobody has it'
          : undefined,
    });
  });

  it('never hold more than the limit while others give permits back', () => {
    const table = smallTable();
    opened(table, 1);
    const returning: Program = (mine) => {
      const bucket = opened(mine, 1);
      return (note) => {
        const position = mine.take(bucket, NOW);
        if (position < 0) return;
        note('granted');
        note('gives back');
        mine.giveBack(bucket, position);
      };
    };
    const { ends } = explore({
      table,
      programs: { a: returning, b: taker(1) },
      check: (reached) => {
        if (held(reached) > 1) return 'more than the limit';
        if (reached.ended.size < 2) return undefined;
        const left = reached.table.left(reached.table.bucket(BUCKET, [{ requests: 1, perMs: 60_000 }]), NOW);
        return left + held(reached) === 1
          ? undefined
          : `a permit is lost: ${left} left, ${held(reached)} held`;
      },
    });
    expect(ends).toBeGreaterThan(3);
  });

  it('never raise a charge that another one has settled', () => {
    const table = smallTable();
    opened(table, 2);
    const settling: Program = (mine) => {
      const bucket = opened(mine, 2);
      return () => {
        const position = mine.take(bucket, NOW);
        mine.settle(bucket, position, NOW + 5);
      };
    };
    explore({
      table,
      programs: { a: settling, b: taker(2) },
      check: ({ ended, table: end }) => {
        if (ended.size < 2) return undefined;
        const charges = end.charges(end.bucket(BUCKET, [MINUTE]), NOW);
        const after = charges.map((charge) => charge - NOW).join();
        return after === '5,30000' ? undefined : `charged at ${after}`;
      },
    });
  });

  it('get no more than the limit while the windows change under them, and its room runs out', () => {
    const table = smallTable();
    const bucket = opened(table, 1);
    const wider = [{ requests: 1, perMs: 120_000 }];
    // One may seal what the other has just laid out, over and over; here there is room for two more rings.
    const unlessFull = (note: Note, run: () => void): void => {
      try {
        run();
      } catch (error) {
        if (!(error instanceof KeymuxError) || error.code !== 'KEYMUX_TABLE_FULL') throw error;
        note('full');
      }
    };
    const taking: Program = (mine) => (note) =>
      unlessFull(note, () => note(mine.take(bucket, NOW) < 0 ? 'refused' : 'granted'));
    const changing: Program = (mine) => (note) => unlessFull(note, () => void mine.bucket(BUCKET, wider));
    let changed = 0;
    explore({
      table,
      programs: { a: taking, changes: changing },
      check: (reached) => {
        if (reached.ended.size < 2) return undefined;
        const left = reached.table.left(bucket, NOW);
        if (countOf(reached, 'full') > 0)
          return held(reached) + Math.max(0, left) > 1 ? 'more than the limit' : undefined;
        changed += 1;
        return held(reached) === 1 && left === 0 ? undefined : `${held(reached)} held, ${left} left`;
      },
    });
    expect(changed).toBeGreaterThan(3);
  });
});

describe('threads that judge one key at once', () => {
  const REFUSED: HealthEvent = {
    type: 'outcome',
    outcome: { kind: 'rate-limited', scope: 'key', executed: 'no' },
    seenVersion: 0,
  };
  const REJECTED: HealthEvent = {
    type: 'outcome',
    outcome: { kind: 'rejected', scope: 'key', executed: 'no' },
    seenVersion: 0,
  };
  const judge =
    (event: HealthEvent): Program =>
    (table) => {
      const index = table.subject('key:1');
      return () => void table.update(index, event, KEY_POLICY, NOW, () => 0);
    };
  const seen = ({ table }: Reached): string =>
    JSON.stringify([table.health(table.subject('key:1')), table.generation]);
  const known = (): StateTable => {
    const table = smallTable();
    table.subject('key:1');
    return table;
  };

  it('leave what they would have left one after the other', () => {
    const programs = { refused: judge(REFUSED), rejected: judge(REJECTED), reset: judge({ type: 'reset' }) };
    expectAsInSomeOrder({ table: known(), programs }, seen);
  });

  it('agree with a store that tells of another member meanwhile', () => {
    const told: Program = (table) => {
      const index = table.subject('key:1');
      const health = { status: 'recovering', version: 1, level: 1, since: NOW } as const;
      return () => void table.restore(index, health);
    };
    expectAsInSomeOrder({ table: known(), programs: { refused: judge(REFUSED), told } }, seen);
  });

  it('take over the disabled flag of the latest decision', () => {
    const set =
      (disabled: boolean, version?: number): Program =>
      (table) => {
        const index = table.subject('key:1');
        return () => void table.setDisabled(index, disabled, version);
      };
    expectAsInSomeOrder(
      { table: known(), programs: { off: set(true, 2), on: set(false, 2), person: set(true) } },
      ({ table }) => JSON.stringify([table.disabled(0), table.disabledVersion(0)]),
    );
    const table = known();
    explore({
      table,
      programs: { off: set(true, 2), on: set(false, 2), older: set(false, 1) },
      check: ({ ended, table: end }) =>
        ended.size === 3 && !end.disabled(end.subject('key:1')) ? 'enabled between equals' : undefined,
    });
  });

  it('keep one average of latencies', () => {
    const measure =
      (ms: number): Program =>
      (table) => {
        const index = table.subject('key:1');
        return () => table.recordLatency(index, ms);
      };
    expectAsInSomeOrder(
      { table: known(), programs: { fast: measure(10), slow: measure(90), slower: measure(170) } },
      ({ table }) => String(table.latencyMs(table.subject('key:1'))),
    );
  });
});

describe('threads that name things at once', () => {
  const naming =
    (name: string): Program =>
    (table) =>
    (note) =>
      note(String(table.subject(name)));

  it('get one index for one name, and another one for another', () => {
    explore({
      table: smallTable(),
      programs: { a: naming('key:1'), b: naming('key:2'), c: naming('key:1') },
      check: ({ ended, notes: { a, b, c } }) =>
        ended.size === 3 && (String(a) !== String(c) || String(a) === String(b))
          ? `${String(a)} ${String(b)} ${String(c)}`
          : undefined,
    });
  });

  it('make one ring for a bucket that all of them open', () => {
    const windows = [{ requests: 1, perMs: 60_000 }];
    const opening: Program = (table) => (note) => note(String(table.bucket(BUCKET, windows)));
    const { ends } = explore({
      table: smallTable(),
      programs: { a: opening, b: opening },
      check: ({ ended, notes: { a, b }, table }) => {
        if (ended.size < 2) return undefined;
        const left = table.left(0, NOW);
        return String(a) === String(b) && left === 1 ? undefined : `${String(a)} ${String(b)}, ${left} left`;
      },
    });
    expect(ends).toBeGreaterThan(3);
  });

  it('believe one of them about an owner', () => {
    const owning =
      (owner: number): Program =>
      (table) =>
      (note) =>
        note(table.setOwner(0, owner) ? 'believed' : 'not believed');
    explore({
      table: smallTable(),
      programs: { a: owning(1), b: owning(2), c: owning(3) },
      check: (reached) =>
        reached.ended.size === 3 && (countOf(reached, 'believed') !== 1 || reached.table.ownersKnown !== 1)
          ? 'not one owner'
          : undefined,
    });
  });
});

describe('threads that speak for their process', () => {
  const claiming =
    (claim: (table: StateTable) => boolean): Program =>
    (table) =>
    (note) =>
      note(claim(table) ? 'mine' : 'not mine');

  it.each([
    ['the chair', (table: StateTable, speaker: number) => table.fleet.takeChair(speaker, NOW)],
    ['the word of a loss', (table: StateTable) => table.fleet.tellLoss()],
    ['the retelling', (table: StateTable) => table.claimRetelling(0, NOW, 1_000)],
    ['the last permit in doubt', (table: StateTable) => table.claimInDoubt(0, 1, NOW, 1_000)],
  ])('are one: %s', (_what, claim) => {
    const { ends } = explore({
      table: smallTable(),
      programs: Object.fromEntries(
        [1, 2, 3].map((speaker) => [`t${speaker}`, claiming((table) => claim(table, speaker))]),
      ),
      check: (reached) => {
        if (countOf(reached, 'mine') > 1) return 'two of them';
        return reached.ended.size === 3 && countOf(reached, 'mine') === 0 ? 'none of them' : undefined;
      },
    });
    expect(ends).toBeGreaterThan(0);
  });

  it('send no more than a provider says is left', () => {
    const table = smallTable();
    const index = table.subject('bucket:acme/main');
    const statement = { kind: 'fixed', left: 2, until: NOW + 60_000, limit: 10, gain: 0, stepMs: 1 } as const;
    table.allowances.learn(index, statement, undefined, 0, NOW);
    const asking: Program = (mine) => (note) =>
      note(typeof mine.allowances.take(index, NOW) === 'number' ? 'granted' : 'refused');
    explore({
      table,
      programs: { a: asking, b: asking, c: asking },
      check: (reached) =>
        held(reached) > 2 || (reached.ended.size === 3 && held(reached) !== 2)
          ? `${held(reached)} of 2`
          : undefined,
    });
  });
});
