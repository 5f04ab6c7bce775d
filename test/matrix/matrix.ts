/**
 * Every client of test/clients, as applications use it: each request starts with a key over its limit, then meets a
 * revoked one, and its caller sees nothing but the answer to the good one. What counts is what the servers saw.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rows } from '../clients/rows.mjs';
import { stops } from '../clients/stops.mjs';
import { exceptionFor } from '../clients/exceptions.mjs';
import type { Program } from './program.js';
import { startProgram } from './program.js';
import type { Scheme, Sites } from './sites.js';
import { isSigned, startSites } from './sites.js';

const TIMES = 20;
const FAILOVER = ['limited', 'revoked', 'good'];

interface Row {
  readonly name: string;
  readonly site: string;
  readonly schemes: readonly string[];
  readonly hops: number;
  readonly once: boolean;
  readonly untouched: boolean;
}

interface Stop {
  readonly name: string;
  readonly site?: string;
  readonly aborts?: boolean;
}

const repeat = (names: readonly string[], times: number): string[] =>
  Array.from({ length: times }, () => names).flat();

export function testMatrix(scheme: Scheme): void {
  let sites: Sites;
  let managed: Program;
  let bare: Program;

  beforeAll(async () => {
    sites = await startSites(scheme);
    managed = startProgram(sites, 'managed');
    bare = startProgram(sites, 'bare');
  });
  afterAll(async () => {
    await Promise.all([managed.close(), bare.close()]);
    await sites.close();
  });

  describe(`an unmodified client over ${scheme}`, () => {
    const own = (rows as readonly Row[]).filter(({ schemes }) => schemes.includes(scheme));
    const able = own.filter(({ name }) => exceptionFor(name) === undefined);
    const repeatable = able.filter(({ once, untouched }) => !once && !untouched);

    it.each(repeatable)(`gets a good answer ${TIMES} times: $name`, async ({ name, site, hops }) => {
      const since = sites.seen(site).length;
      const outcomes = await managed.do('call', { row: name, times: TIMES });
      expect(outcomes.filter(({ answer }) => !String(answer).includes('good'))).toEqual([]);
      expect(outcomes).toHaveLength(TIMES);
      expect(sites.seen(site, since)).toEqual(repeat([...FAILOVER, ...repeat(['good'], hops)], TIMES));
    });

    const unrepeatable = able.filter(({ once }) => once);
    it.each(unrepeatable)('gets the key of the moment, once a request: $name', async ({ name, site }) => {
      const since = sites.seen(site).length;
      const outcomes = await managed.do('call', { row: name, times: TIMES, remembers: true });
      expect(sites.seen(site, since)).toEqual([...FAILOVER, ...repeat(['good'], TIMES - 3)]);
      expect(outcomes.map(({ answer }) => String(answer).includes('good'))).toEqual(
        outcomes.map((_, index) => index >= 2),
      );
    });

    const exceptional = own.flatMap((row) => {
      const exception = exceptionFor(row.name);
      return exception === undefined ? [] : [{ ...row, ...exception }];
    });
    it.each(exceptional)(
      'cannot do it on this Node without keymux either: $name ($why)',
      async ({ name, error }) => {
        const [outcome] = await bare.do('call', { row: name, times: 1 });
        expect(outcome?.error?.message).toMatch(error);
      },
    );

    it('goes through its proxy', async () => {
      const before = sites.proxy.used;
      await managed.do('call', { row: 'undici 7, ProxyAgent', times: 1 });
      expect(sites.proxy.used).toBeGreaterThan(before);
    });

    it('that signs its requests is left alone: ccxt', async () => {
      const outcomes = await managed.do('call', { row: 'ccxt, a signed request', times: TIMES });
      expect(outcomes.filter(({ error }) => error !== undefined)).toEqual([]);
      const { requests = [] } = sites.simulators.get('exchange') ?? {};
      expect(requests.map(({ key }) => key)).toEqual(repeat(['captured'], TIMES));
      expect(requests.filter(({ path }) => !isSigned(path))).toEqual([]);
    });

    // It speaks https only.
    if (scheme === 'https')
      it('that has no key is left alone: yahoo-finance2', async () => {
        const outcomes = await managed.do('call', { row: 'yahoo-finance2, no key', times: TIMES });
        expect(outcomes.filter(({ error }) => error !== undefined)).toEqual([]);
        expect(sites.seen('keyless')).toEqual(Array(TIMES).fill(undefined));
      });
  });

  describe(`a request over ${scheme} that is given up`, () => {
    const able = (stops as readonly Stop[]).filter(({ name }) => exceptionFor(name) === undefined);
    const aborted = able.filter(({ aborts }) => aborts === true);

    it.each(aborted)('before it is sent fails as without keymux: $name', async ({ name }) => {
      const [with_, without] = await Promise.all(
        [managed, bare].map((program) => program.do('stop', { stop: name, early: true })),
      );
      expect(with_).toEqual(without);
      expect(with_?.[0]?.error).toBeDefined();
    });

    it.each(aborted)('during its third attempt fails as without keymux: $name', async ({ name, site }) => {
      const simulator = sites.simulators.get(site ?? 'bearer');
      if (simulator === undefined) throw new Error(`no site ${site}`);
      const giveUp = async (program: Program, attempts: number): Promise<unknown> => {
        const since = simulator.requests.length;
        const stopped = program.do('stop', { stop: name });
        await simulator.waitFor(({ requests }) => requests.length === since + attempts);
        program.reply('abort');
        const outcomes = await stopped;
        await simulator.waitFor(({ requests }) => requests.at(-1)?.aborted === true);
        expect(simulator.requests).toHaveLength(since + attempts);
        return outcomes;
      };
      expect(await giveUp(managed, 3)).toEqual(await giveUp(bare, 1));
    });

    it('by time limits of the clients fails as without keymux', async () => {
      const expiring = able.flatMap(({ name, aborts }) => (aborts === true ? [] : [name]));
      const outcomes: unknown[] = [];
      for (const program of [managed, bare]) {
        // The first time loads the clients, while clocks are running.
        await program.do('expire', { stops: expiring });
        const all = await program.do('expire', { stops: expiring });
        outcomes.push(all.map((outcome, index) => [expiring[index], outcome]));
      }
      const [with_, without] = outcomes;
      expect(with_).toEqual(without);
    });
  });
}
