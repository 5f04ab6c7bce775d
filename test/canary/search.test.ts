import { Buffer } from 'node:buffer';
import { channel } from 'node:diagnostics_channel';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { KeymuxError } from '#keymux/core/errors.js';
import { Secret } from '#keymux/core/secret.js';
import { SHORTEST_PIECE, leaksIn, makeCanary, makePlainCanary } from './canary.js';
import { Sinks } from './sinks.js';

const canary = makeCanary('main');
const { text } = canary;

/** What a program may make of a key before it writes it somewhere. */
const WRITINGS: Readonly<Record<string, (key: string) => string | Uint8Array>> = {
  'as it is': (key) => key,
  'in JSON': (key) => JSON.stringify({ key }),
  'in JSON twice': (key) => JSON.stringify(JSON.stringify({ key }).slice(0, 60)),
  'in an address': (key) => `https://a.example/?key=${encodeURIComponent(key)}&b=1`,
  'in a form': (key) => new URLSearchParams({ key }).toString(),
  'in percent signs alone': (key) => key.replaceAll(/./gs, (c) => `%${c.charCodeAt(0).toString(16)}`),
  'in basic authentication': (key) => `Basic ${btoa(`user:${key}`)}`,
  'in basic authentication, otherwise aligned': (key) => `Basic ${btoa(`us:${key}`)}`,
  'in basic authentication, aligned in the third way': (key) => `Basic ${btoa(`u:${key}`)}`,
  'in base64url': (key) => Buffer.from(`{"k":"${key}"}`).toString('base64url'),
  'in hexadecimal digits': (key) => Buffer.from(key).toString('hex'),
  'in hexadecimal capitals': (key) => Buffer.from(key).toString('hex').toUpperCase(),
  'as a buffer is inspected': (key) =>
    `<Buffer 00 ${Buffer.from(key)
      .toString('hex')
      .replaceAll(/..(?!$)/g, '$& ')}>`,
  'as a buffer in JSON': (key) => JSON.stringify(Buffer.from(key)),
  'as a list of bytes': (key) => `[ ${[...Buffer.from(key)].join(', ')} ]`,
  'in letters of two bytes': (key) => Buffer.from(`a${key}`, 'utf16le'),
  'in HTML': (key) => `<b>${key.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}</b>`,
  'in escapes': (key) => [...key].map((c) => `\\x${c.charCodeAt(0).toString(16)}`).join(''),
  backwards: (key) => [...key].toReversed().join(''),
};

describe('the search', () => {
  it.each(Object.keys(WRITINGS))('finds a key that is written %s', (name) => {
    const write = WRITINGS[name] ?? String;
    const noise = Buffer.from(makeCanary('noise').text.repeat(5));
    const content = Buffer.concat([noise, Buffer.from(write(text)), noise]);
    expect(leaksIn(content, [canary])).not.toEqual([]);
    expect(leaksIn(noise, [canary])).toEqual([]);
  });

  it.each(Object.keys(WRITINGS).filter((name) => name !== 'in JSON twice'))(
    'finds every piece of a key that is written %s',
    (name) => {
      const write = WRITINGS[name] ?? String;
      for (let start = 0; start + SHORTEST_PIECE <= text.length; start += 1) {
        const piece = text.slice(start, start + SHORTEST_PIECE);
        expect(leaksIn(write(piece), [canary]), `characters ${start} and following`).not.toEqual([]);
      }
    },
  );

  it('finds nothing in what holds another key', () => {
    const others = Array.from({ length: 200 }, (_, index) => makePlainCanary(`${index}`).text);
    for (const write of Object.values(WRITINGS))
      expect(leaksIn(write(others.join('\n')), [canary])).toEqual([]);
  });
});

const symbol = Symbol('hidden');
/** Each value shows the key somewhere that only one way of looking at it reaches. */
const VALUES: Readonly<Record<string, unknown>> = {
  'a message': new Error(`refused ${text}`),
  'a fix': new KeymuxError('KEYMUX_USAGE', 'Wrong.', { fix: `Use ${text}.` }),
  'the cause of a cause': new Error('a', { cause: new Error('b', { cause: new Error(text) }) }),
  'one of several errors': new AggregateError([new Error(text)], 'all failed'),
  'a stack': Object.assign(new Error('a'), { stack: `Error: a\n at ${text}` }),
  'a property that is not enumerable': Object.defineProperty({}, 'key', { value: text }),
  'a property of a symbol': { [symbol]: text },
  'a getter': {
    get shown(): string {
      return text;
    },
  },
  'a name of a property': { [text]: 1 },
  'a map in a set': new Set([new Map([['a', text]])]),
  'a key of a map': new Map([[text, 1]]),
  'the bytes of a buffer': { bytes: new TextEncoder().encode(text) },
  'what is left around a part of a buffer': { bytes: Buffer.from(`${text}....`).subarray(-4) },
  'something deep': Array.from({ length: 60 }).reduce<unknown>((inner) => ({ inner }), { key: text }),
  'its own view': { toJSON: () => ({ key: text }) },
  'its string': { toString: () => text },
};

describe('the sinks', () => {
  it.each(Object.keys(VALUES))('show a key in %s', (name) => {
    const sinks = new Sinks();
    sinks.addValue('value', VALUES[name]);
    expect(sinks.leaks([canary])).not.toEqual([]);
    expect(() => sinks.expectNone([canary])).toThrow();
  });

  it('show nothing of a secret that is kept as one', () => {
    const sinks = new Sinks();
    const kept = { secret: new Secret(text), all: new Map([['a', new Secret(text)]]) };
    sinks.addValue('secret', kept);
    sinks.addValue(
      'error',
      new KeymuxError('KEYMUX_USAGE', `Not ${String(kept.secret)}.`, { fix: 'x', cause: kept }),
    );
    sinks.expectNone([canary], 'secret, inspected', 'error, as JSON');
  });

  it('show a key in a file, deep in a folder, and in the name of one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'keymux-canary-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    const plain = makePlainCanary('named');
    writeFileSync(join(folder, 'a/b/state.db'), Buffer.from(`\0\0${text}\0`));
    writeFileSync(join(folder, 'a', plain.text), '');
    writeFileSync(join(folder, 'a/ours'), text);
    const sinks = new Sinks();
    sinks.addFiles('state', folder, (name) => name === 'a/ours');
    const leaks = sinks.leaks([canary, plain]);
    expect(leaks.filter((leak) => leak.startsWith('state: a/b/state.db: main as raw'))).toHaveLength(1);
    expect(leaks.some((leak) => leak.startsWith('state: name: named as raw'))).toBe(true);
    expect(leaks.some((leak) => leak.startsWith('state: a/ours'))).toBe(false);
  });

  it('show a key in an event, in a diagnostics channel and in a failure', async () => {
    const sinks = new Sinks();
    const listeners: ((event: never) => void)[] = [];
    sinks.follow('manager', {
      on: (_name, listener) => {
        listeners.push(listener);
        return () => {};
      },
    });
    for (const listener of listeners) listener({ evidence: text } as never);
    channel('keymux:failover').publish({ evidence: text });
    await sinks.addFailure('failure', () => Promise.reject(new Error(text)));
    await expect(sinks.addFailure('no failure', () => 1)).rejects.toThrow('nothing was thrown');
    const leaks = sinks.leaks([canary]);
    for (const place of [
      'manager: event failover',
      'manager: event anomaly',
      'manager: channel keymux:failover',
      'failure',
    ])
      expect(leaks.some((leak) => leak.startsWith(place))).toBe(true);
  });

  it('fail where nothing was seen at a place that is looked for', () => {
    const sinks = new Sinks();
    sinks.add('stdout', 'nothing');
    sinks.expectNone([canary], 'stdout', /^std/);
    expect(() => sinks.expectNone([canary], 'stderr')).toThrow('something was seen at: stderr');
  });
});
