/** Every undici that applications install, as they load it. */
import { createRequire } from 'node:module';
import { afterAll } from 'vitest';

export type Undici = typeof import('undici');

const FROM_NODE: Readonly<Record<number, readonly [major: number, minor: number]>> = {
  5: [14, 0],
  6: [18, 17],
  7: [20, 18],
  8: [22, 19],
};

/** Those that run on this Node. */
export const VERSIONS = Object.keys(FROM_NODE)
  .map(Number)
  .filter((version) => {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    const [leastMajor = 0, leastMinor = 0] = FROM_NODE[version] ?? [];
    return major > leastMajor || (major === leastMajor && minor >= leastMinor);
  });

const require = createRequire(new URL('../../clients/package.json', import.meta.url));

export function load(version: number): Undici {
  try {
    return require(`undici${version}`) as Undici;
  } catch (cause) {
    throw new Error('The clients under test are not installed: `npm ci` in test/clients does it.', { cause });
  }
}

/**
 * `request`, `stream`, `pipeline` and `fetch` of this very undici: the global agent, which they use by themselves, is
 * of whichever undici was loaded first.
 */
export function functionsOf(undici: Undici): Pick<Undici, 'request' | 'stream' | 'pipeline' | 'fetch'> {
  const dispatcher = new undici.Agent();
  afterAll(() => dispatcher.destroy());
  const own =
    (call: (url: unknown, options: object, ...rest: unknown[]) => unknown) =>
    (url: unknown, options: object, ...rest: unknown[]) =>
      call(url, { dispatcher, ...options }, ...rest);
  const { request, stream, pipeline, fetch } = undici as unknown as Record<string, Parameters<typeof own>[0]>;
  if (request === undefined || stream === undefined || pipeline === undefined || fetch === undefined)
    throw new Error('This undici lacks a function.');
  return {
    request: own(request),
    stream: own(stream),
    pipeline: own(pipeline),
    fetch: own(fetch),
  } as unknown as Undici;
}

/** What is no part of the types of the newest undici. */
export function untyped(undici: Undici): Record<string, unknown> {
  return undici;
}
