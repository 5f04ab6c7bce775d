/** No key, captured or chosen, reaches another origin by a redirect, whatever client follows it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { followers } from '../clients/followers.mjs';
import { exceptionFor } from '../clients/exceptions.mjs';
import type { Foreign } from './foreign.js';
import { keysIn, startForeign } from './foreign.js';
import { keyText, keysOf } from './keys.js';
import type { KeyName } from './keys.js';
import type { Program } from './program.js';
import { startProgram } from './program.js';
import type { Scheme, Sites } from './sites.js';
import { startSites, variableOf } from './sites.js';

const STATUSES = [301, 302, 303, 307, 308];

interface Placement {
  readonly site: string;
  readonly headers: (key: string) => Record<string, string>;
  /** The path and query of a request for `path`. */
  readonly target: (path: string, key: string) => string;
}

const redirecting = (status: number, location: string): string =>
  `/go/${status}/${Buffer.from(location).toString('base64url')}`;

const plain = (path: string): string => path;
const PLACEMENTS: Readonly<Record<string, Placement>> = {
  'in Authorization': {
    site: 'bearer',
    headers: (key) => ({ authorization: `Bearer ${key}` }),
    target: plain,
  },
  'in a header of its own': { site: 'header', headers: (key) => ({ 'x-api-key': key }), target: plain },
  'in the query': {
    site: 'query',
    headers: () => ({}),
    target: (path, key) => `${path}?apikey=${key}`,
  },
  'in the path': { site: 'path', headers: () => ({}), target: (path, key) => `/v3/${key}${path}` },
  'in basic authentication': {
    site: 'basic',
    headers: (key) => ({ authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` }),
    target: plain,
  },
};

/** What a client is used with, where it cannot put a key anywhere. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  'openai 6': ['in Authorization'],
  '@anthropic-ai/sdk': ['in Authorization'],
};

/** With a `createConnection` of its own, which may lead anywhere: refused with a virtual key. */
const CONNECTS_BY_ITSELF: ReadonlySet<string> = new Set(['ws']);

interface Sent {
  readonly status: number;
  readonly to: string;
  readonly request: {
    readonly url: string;
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
  };
}

/** The request line and the headers that look like a key or an address. */
const whereIn = (received: string): string =>
  received
    .split('\n')
    .filter((line) => /sk-|Basic|Bearer/.test(line))
    .join();

const siteOf = (placement: string): string => PLACEMENTS[placement]?.site ?? '';
const captured = (placement: string, key: KeyName): string => keyText(siteOf(placement), key);

export function testRedirects(scheme: Scheme): void {
  let sites: Sites;
  let same: Foreign;
  let other: Foreign;
  let managed: Program;
  let bare: Program;
  let virtual: Program;

  beforeAll(async () => {
    sites = await startSites(scheme);
    same = await startForeign(scheme === 'https' ? sites.certificate : undefined);
    other = await startForeign(scheme === 'https' ? undefined : sites.certificate);
    managed = startProgram(sites, 'managed');
    bare = startProgram(sites, 'bare');
    virtual = startProgram(sites, 'virtual');
  });
  afterAll(async () => {
    await Promise.all([managed.close(), bare.close(), virtual.close()]);
    await Promise.all([sites.close(), same.close(), other.close()]);
  });

  function locations(placement: string): Record<string, string> {
    const otherScheme = scheme === 'https' ? 'http' : 'https';
    // As a server that repeats the query, or the path, of the request that it got.
    const good = keyText(PLACEMENTS[placement]?.site ?? '', 'good');
    const echoes: Record<string, string> = {
      'in the query': `${scheme}://127.0.0.1:${same.port}/there?apikey=${good}`,
      'in the path': `${scheme}://127.0.0.1:${same.port}/v3/${good}/there`,
    };
    const echo = echoes[placement];
    return {
      'another port': `${scheme}://127.0.0.1:${same.port}/there`,
      'another scheme': `${otherScheme}://127.0.0.1:${other.port}/there`,
      'another host, without a scheme': `//localhost:${same.port}/there`,
      ...(echo === undefined ? {} : { 'another port, with the key in it': echo }),
    };
  }

  /** With the key of this text. */
  function requests(placement: string, text: string, statuses: readonly number[]): Sent[] {
    const { site, headers, target } = PLACEMENTS[placement]!;
    const origin = sites.simulators.get(site)?.origin ?? '';
    return Object.entries(locations(placement)).flatMap(([to, location]) =>
      statuses.flatMap((status) => {
        const url = origin + target(redirecting(status, location), text);
        const get = { status, to, request: { url, method: 'GET', headers: headers(text) } };
        const isKept = status === 307 && to === 'another port';
        return isKept ? [get, { ...get, request: { ...get.request, method: 'POST', body: '{}' } }] : [get];
      }),
    );
  }

  function within(placement: string, key: KeyName): Sent['request'] {
    const { site, headers, target } = PLACEMENTS[placement]!;
    const { origin = '' } = sites.simulators.get(site) ?? {};
    const text = keyText(site, key);
    const url = origin + target(redirecting(302, target('/landed', text)), text);
    return { url, method: 'GET', headers: headers(text) };
  }

  /** What reached other origins with a key in it; how many requests reached them at all. */
  async function leaksOf(
    program: Program,
    follower: string,
    placement: string,
    sent: readonly Sent[],
    keys: ReadonlyMap<string, string> = keysOf(siteOf(placement)),
  ): Promise<{ leaks: string[]; arrived: number }> {
    const leaks: string[] = [];
    let arrived = 0;
    for (const { status, to, request } of sent) {
      const from = [same.received.length, other.received.length];
      await program.do('follow', { follower, request, remembers: true });
      const news = [...same.received.slice(from[0]), ...other.received.slice(from[1])];
      arrived += news.length;
      for (const received of news) {
        const found = keysIn(received, keys);
        if (found.length > 0)
          leaks.push(`${request.method} ${status} to ${to}: ${found.join()} in ${whereIn(received)}`);
      }
    }
    return { leaks, arrived };
  }

  const able = Object.keys(followers).filter((name) => exceptionFor(name) === undefined);
  const pairs = able.flatMap((follower) =>
    (ONLY[follower] ?? Object.keys(PLACEMENTS)).map((placement) => ({ follower, placement })),
  );

  describe(`a redirect from ${scheme} to another origin`, () => {
    it('takes the key along without keymux', async () => {
      for (const [follower, placement] of [
        ['fetch', 'in a header of its own'],
        ['node-fetch 2', 'in Authorization'],
        ['fetch', 'in the query'],
      ] as const) {
        const { leaks } = await leaksOf(
          bare,
          follower,
          placement,
          requests(placement, captured(placement, 'good'), [302]),
        );
        expect(leaks.length).toBeGreaterThan(0);
      }
    });

    it.each(pairs)('never takes a key along: $follower, key $placement', async ({ follower, placement }) => {
      // Each kind of redirect costs a request; over TLS they differ in nothing but their bytes.
      const sent = requests(
        placement,
        captured(placement, 'limited'),
        scheme === 'http' ? STATUSES : [302, 307],
      );
      const { leaks, arrived } = await leaksOf(managed, follower, placement, sent);
      expect(leaks).toEqual([]);
      expect(arrived).toBeGreaterThanOrEqual(sent.length - 1);
    });
  });

  describe(`a redirect from ${scheme} to another origin, with a virtual key`, () => {
    it.each(pairs)('never takes a key along: $follower, key $placement', async ({ follower, placement }) => {
      const site = siteOf(placement);
      const [read] = await virtual.do('read', { variable: variableOf(site) });
      const text = String(read?.answer);
      const keys = new Map([...keysOf(site), [text, 'virtual']]);
      expect(keys.size).toBe(4);
      const since = sites.seen(site).length;
      const sent = requests(placement, text, [302, 307]);
      const { leaks, arrived } = await leaksOf(virtual, follower, placement, sent, keys);
      expect(leaks).toEqual([]);
      const isRefused = CONNECTS_BY_ITSELF.has(follower);
      expect(sites.seen(site, since)).toEqual(isRefused ? [] : sent.map(() => 'good'));
      expect(arrived).toBeGreaterThanOrEqual(isRefused ? 0 : sent.length - 1);
    });
  });

  describe(`a redirect within the origin over ${scheme}`, () => {
    it.each(pairs)(
      'gets the key of the moment: $follower, key $placement',
      async ({ follower, placement }) => {
        const { site } = PLACEMENTS[placement]!;
        const hop = async (program: Program, key: KeyName): Promise<(string | undefined)[]> => {
          const since = sites.seen(site).length;
          const request = within(placement, key);
          await program.do('follow', { follower, request, remembers: true });
          return sites.seen(site, since);
        };
        // Some clients take no Authorization along, not even within the origin.
        const [, second] = await hop(bare, 'good');
        expect(await hop(managed, 'limited')).toEqual(['limited', 'revoked', 'good', second]);
      },
    );
  });
}
