/** Everything that keymux lets anybody see, collected as bytes under the name of the place where it was seen. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { inspect } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import type { EventName } from '#keymux/manager/events.js';
import { leaksIn } from './canary.js';
import type { Canary } from './canary.js';

const EVENTS: Readonly<Record<EventName, true>> = {
  failover: true,
  cooldown: true,
  rejected: true,
  'refused-alike': true,
  recovered: true,
  'shared-bucket': true,
  quota: true,
  degraded: true,
  restored: true,
  'state-set-aside': true,
  probe: true,
  leader: true,
  administered: true,
  expiring: true,
  anomaly: true,
  reloaded: true,
  attempt: true,
  request: true,
  exhausted: true,
  audit: true,
};
export const EVENT_NAMES = Object.keys(EVENTS) as EventName[];

export class Sinks {
  readonly #seen: { readonly place: string; readonly bytes: Buffer }[] = [];

  /** A text or bytes, as they are. */
  add(place: string, content: string | Uint8Array): void {
    this.#seen.push({ place, bytes: Buffer.from(content) });
  }

  /** A value in every way in which a program may print, send or keep it. */
  addValue(place: string, value: unknown): void {
    for (const [way, text] of viewsOf(value)) this.add(`${place}, ${way}`, text);
  }

  /** Every file below a folder, names included; but for those that a test put there itself. */
  addFiles(place: string, folder: string, isOurs: (path: string) => boolean = () => false): void {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const name = relative(folder, path);
      if (isOurs(name)) continue;
      this.add(`${place}: name`, name);
      if (lstatSync(path).isFile()) this.add(`${place}: ${name}`, readFileSync(path));
    }
  }

  /** Every event of a manager, as it comes, and what its diagnostics channels tell. Until the end of the test. */
  follow(place: string, manager: Pick<KeyManager, 'on'>): void {
    for (const name of EVENT_NAMES) {
      const stop = manager.on(name, (event) => this.addValue(`${place}: event ${name}`, event));
      const tell = (message: unknown): void => this.addValue(`${place}: channel keymux:${name}`, message);
      subscribe(`keymux:${name}`, tell);
      onTestFinished(() => {
        stop();
        unsubscribe(`keymux:${name}`, tell);
      });
    }
  }

  /** What an action throws, or is rejected with; it must fail. */
  async addFailure(place: string, action: () => unknown): Promise<unknown> {
    let error: unknown;
    try {
      await action();
    } catch (thrown) {
      error = thrown;
    }
    if (error === undefined) throw new Error(`${place}: nothing was thrown`);
    this.addValue(place, error);
    return error;
  }

  get places(): readonly string[] {
    return this.#seen.map(({ place }) => place);
  }

  /** One line for each canary that is seen at a place, with the first form in which it is. */
  leaks(canaries: readonly Canary[]): string[] {
    return this.#seen.flatMap(({ place, bytes }) => {
      const byCanary = new Map(
        leaksIn(bytes, canaries)
          .toReversed()
          .map((leak) => [leak.canary, leak]),
      );
      return [...byCanary].map(([canary, { form, around }]) => {
        const shown = `…${JSON.stringify(around)}`;
        return `${place}: ${canary} as ${form}: ${shown}`;
      });
    });
  }

  /** Fails where a canary is seen; and where a place that is looked for was never seen, so that the search is not vain. */
  expectNone(canaries: readonly Canary[], ...places: readonly (string | RegExp)[]): void {
    for (const place of places)
      expect(
        this.places.some((seen) => (typeof place === 'string' ? seen.startsWith(place) : place.test(seen))),
        `something was seen at: ${String(place)}`,
      ).toBe(true);
    expect(this.leaks(canaries)).toEqual([]);
  }
}

function viewsOf(value: unknown): [string, string][] {
  const everything = {
    depth: Number.POSITIVE_INFINITY,
    showHidden: true,
    maxArrayLength: 10_000,
    maxStringLength: Number.POSITIVE_INFINITY,
  };
  const views: [string, () => string | undefined][] = [
    ['inspected', () => inspect(value, everything)],
    ['inspected without its own view', () => inspect(value, { ...everything, customInspect: false })],
    ['with getters', () => inspect(value, { depth: 10, getters: true, customInspect: false })],
    ['as JSON', () => JSON.stringify(value, withoutCycles())],
    ['as a string', () => String(value)],
    ['cloned', () => inspect(structuredClone(value), everything)],
    ['walked through', () => walk(value)],
  ];
  return views.flatMap(([way, view]) => {
    const text = whole(view);
    return text === undefined ? [] : [[way, text]];
  });
}

/** What cannot be shown in one way says nothing in it but why. */
function whole(view: () => string | undefined): string | undefined {
  try {
    return view();
  } catch (error) {
    return inspect(error);
  }
}

function withoutCycles(): (name: string, value: unknown) => unknown {
  const seen = new WeakSet();
  return (_name, value) => {
    if (typeof value === 'bigint') return String(value);
    if (typeof value !== 'object' || value === null) return value;
    if (seen.has(value)) return undefined;
    seen.add(value);
    return value;
  };
}

/** Every text that properties lead to: those that are not enumerable, of symbols, of prototypes, in maps and sets. */
function walk(root: unknown): string {
  const seen = new Set<unknown>();
  const texts: string[] = [];
  const open: unknown[] = [root];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value === 'string') texts.push(value);
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (ArrayBuffer.isView(value)) texts.push(Buffer.from(value.buffer).toString('latin1'));
    else if (value instanceof Map || value instanceof Set) open.push(...entriesOf(value));
    else open.push(...propertiesOf(value, texts));
  }
  return texts.join('\n');
}

function entriesOf(collection: Map<unknown, unknown> | Set<unknown>): unknown[] {
  return [...collection].flat();
}

function propertiesOf(value: object, texts: string[]): unknown[] {
  const own = Reflect.ownKeys(value).map((name) => {
    texts.push(String(name));
    // Getters are called by the view "with getters".
    return Reflect.getOwnPropertyDescriptor(value, name)?.value as unknown;
  });
  return value instanceof Error ? [...own, value.cause] : own;
}
