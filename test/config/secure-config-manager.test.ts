import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HeldSecret } from '#keymux/config/held-secret.js';
import { readReference } from '#keymux/config/reference.js';
import type { SecretSource, SecretValue } from '#keymux/config/secret-source.js';
import { SecureConfigManager, type SecureConfigOptions } from '#keymux/config/secure-config-manager.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { Secret } from '#keymux/core/secret.js';
import { errorOf, folderWith, isTemplateValue } from './sample.js';

const node = `'${process.execPath}'`;
const HOUR_MS = 3_600_000;

/** A cloud that answers as the test says, and how often it was asked. */
class Cloud implements SecretSource {
  readonly scheme = 'cloud';
  asked = 0;
  answer: (reference: string, signal: AbortSignal) => Promise<SecretValue>;

  constructor(answer: Cloud['answer']) {
    this.answer = answer;
  }

  read(reference: string, { signal }: { readonly signal: AbortSignal }): Promise<SecretValue> {
    this.asked += 1;
    return this.answer(reference, signal);
  }
}

function managerWith(options: SecureConfigOptions = {}): SecureConfigManager {
  const manager = new SecureConfigManager({ env: { PATH: process.env['PATH'] }, ...options });
  onTestFinished(() => manager.close());
  return manager;
}

function errorCalled(name: string): Error {
  return Object.assign(new Error('m'), { name });
}

async function failureOf(work: Promise<unknown>): Promise<KeymuxError> {
  const error: unknown = await work.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (error instanceof KeymuxError) return error;
  throw new Error('no KeymuxError');
}

describe('SecureConfigManager', () => {
  it('resolves what keymux reads itself, and shows nothing of it', async () => {
    const cwd = folderWith({ 'a.key': 'CANARY-file', '.env': 'B=CANARY-env' });
    const manager = managerWith({ cwd });
    const secrets = [
      manager.resolve('file:a.key'),
      manager.resolve('env:B'),
      await manager.read('file:a.key'),
    ];
    expect(secrets.map((secret) => secret.reveal())).toEqual(['CANARY-file', 'CANARY-env', 'CANARY-file']);
    expect(
      inspect([manager, secrets], { depth: 9, showHidden: true }) + JSON.stringify(manager),
    ).not.toContain('CANARY');
    expect(errorOf(() => manager.resolve('file:gone', 'acme/main')).message).toContain(
      'acme/main (file:gone)',
    );
    expect(await failureOf(manager.read('env:GONE'))).toMatchObject({ code: 'KEYMUX_SECRET_UNREADABLE' });
    expect(errorOf(() => manager.resolve('cloud:CANARY')).message).not.toContain('CANARY');
  });

  it('asks a registered source once for all that wait, and has the answer then', async () => {
    const cloud = new Cloud(async () => ({ value: 'one' }));
    const manager = managerWith({ sources: [cloud] });
    expect(errorOf(() => manager.resolve('cloud:a')).message).toContain('has not answered yet');
    const [first, second] = await Promise.all([manager.read('cloud:a'), manager.read('cloud:a')]);
    expect([first.reveal(), second.reveal(), manager.resolve('cloud:a').reveal()]).toEqual([
      'one',
      'one',
      'one',
    ]);
    expect(cloud.asked).toBe(1);
    expect(manager.schemes).toEqual(['cloud']);
  });

  it.each([
    ['CANARY in an error', () => Promise.reject(new TypeError('CANARY')), 'its source failed (TypeError)'],
    ['CANARY as the kind of an error', () => Promise.reject(errorCalled('sk CANARY')), 'its source failed.'],
    ['no text', async () => ({ value: 7 }) as unknown as SecretValue, 'no text'],
    ['nothing', async () => undefined as unknown as SecretValue, 'no text'],
    ['a time that is none', async () => ({ value: 'k', expiresAt: Number.NaN }), 'no time'],
    ['a template', async () => ({ value: 'your-CANARY' }), 'template'],
    ['two lines', async () => ({ value: 'CANARY\nCANARY' }), 'line break'],
    ['nothing at all in time', () => new Promise<SecretValue>(() => {}), 'within 0.05 s'],
  ])('says what is wrong with a source that gives %s, and repeats nothing', async (_, answer, reason) => {
    const told: KeymuxError[] = [];
    const manager = managerWith({
      sources: [new Cloud(answer)],
      timeoutMs: 50,
      isTemplateValue,
      onTrouble: (error) => void told.push(error),
    });
    const error = await failureOf(manager.read('cloud:prod/openai', 'openai/main'));
    expect(error.message).toContain('openai/main');
    expect(error.message).toContain(reason);
    expect(inspect([error, told], { depth: 9 })).not.toContain('CANARY');
    expect(told).toHaveLength(1);
  });

  it('tells a source that nobody waits any more', async () => {
    const signals: AbortSignal[] = [];
    const never = new Cloud((_, signal) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    const late = managerWith({ sources: [never], timeoutMs: 20 });
    await failureOf(late.read('cloud:a'));
    expect(signals[0]?.aborted).toBe(true);
    const closed = new SecureConfigManager({ sources: [never] });
    expect(() => closed.resolve('cloud:a')).toThrow(KeymuxError);
    closed[Symbol.dispose]();
    expect(signals[1]?.aborted).toBe(true);
  });

  it.each([
    ['Cloud', 'no scheme of lower-case'],
    ['file', 'which keymux reads itself'],
    ['twin', 'as another one has'],
  ])('refuses a source with the scheme %s', (scheme, fault) => {
    const read = async (): Promise<SecretValue> => ({ value: 'k' });
    const sources = [
      { scheme: 'twin', read },
      { scheme, read },
    ];
    const error = errorOf(() => new SecureConfigManager({ sources }));
    expect(error.code).toBe('KEYMUX_USAGE');
    expect(error.message).toContain(fault);
  });
});

describe('a secret that changes', () => {
  it('is renewed before it expires, in the background, and told once', async () => {
    let version = 1;
    const cloud = new Cloud(async () => ({ value: `key-${version++}`, expiresAt: Date.now() + 200 }));
    const changes: string[] = [];
    const manager = managerWith({
      sources: [cloud],
      onChange: () => void changes.push(manager.resolve('cloud:a').reveal()),
    });
    await manager.read('cloud:a');
    await vi.waitFor(() => expect(changes.slice(0, 3)).toEqual(['key-1', 'key-2', 'key-3']), 10_000);
  });

  it('is asked for again where its source states no end', async () => {
    const cloud = new Cloud(async () => ({ value: 'same' }));
    const onChange = vi.fn();
    const manager = managerWith({ sources: [cloud], refreshMs: 60, onChange });
    await manager.read('cloud:a');
    await vi.waitFor(() => expect(cloud.asked).toBeGreaterThan(2), 10_000);
    expect(onChange).toHaveBeenCalledTimes(1);
  });

  it('comes from a command that states its life, without another run before that is over', async () => {
    const cwd = folderWith({
      'count.mjs': `
        import { readFileSync, writeFileSync } from 'node:fs';
        let count = 0;
        try { count = Number(readFileSync('count', 'utf8')); } catch {}
        writeFileSync('count', String(count + 1));
        const ttlMs = Number(process.argv[2]);
        console.log(JSON.stringify({ value: 'key-' + count, ttlMs }));`,
    });
    const changes: string[] = [];
    const manager = managerWith({
      cwd,
      onChange: () => void changes.push(manager.resolve(`exec:${node} count.mjs 1000`).reveal()),
    });
    const long = `exec:${node} count.mjs ${HOUR_MS}`;
    expect([manager.resolve(long).reveal(), manager.resolve(long).reveal()]).toEqual(['key-0', 'key-0']);
    manager.resolve(`exec:${node} count.mjs 1000`);
    await vi.waitFor(() => expect(changes[0]).toBe('key-2'), 20_000);
  });

  it('is forgotten with the configuration that named it', async () => {
    const cloud = new Cloud(async () => ({ value: 'one', expiresAt: Date.now() + HOUR_MS }));
    const manager = managerWith({ sources: [cloud] });
    await manager.read('cloud:a');
    manager.reading(() => manager.resolve('cloud:a'));
    expect(() => manager.reading(() => errorOf(() => manager.resolve('x')))).not.toThrow();
    expect(errorOf(() => manager.resolve('cloud:a')).message).toContain('has not answered yet');
  });
});

describe('a source that fails', () => {
  it('leaves its last good value in use for a time, says so, and is tried again', async () => {
    const cwd = folderWith({ 'a.key': 'one' });
    let now = 1_000_000;
    const told: string[] = [];
    const onChange = vi.fn();
    const manager = managerWith({
      cwd,
      now: () => now,
      onChange,
      onTrouble: ({ message }) => void told.push(message),
    });
    const context = {
      environment: { variables: new Map(), sources: [], notes: [] },
      folder: cwd,
      keyId: 'acme/main',
      isTemplateValue,
    };
    expect(manager.readKey('file:a.key', context).notes).toEqual([]);
    rmSync(join(cwd, 'a.key'));
    const { secret, notes } = manager.readKey('file:a.key', context);
    expect(secret.reveal()).toBe('one');
    expect(notes).toEqual([
      expect.stringMatching(/acme\/main \(file:a\.key\) stays as it was, until .*ENOENT/),
    ]);
    manager.readKey('file:a.key', context);
    expect(told).toHaveLength(1);
    writeFileSync(join(cwd, 'a.key'), 'two', { mode: 0o600 });
    await vi.waitFor(() => expect(onChange).toHaveBeenCalled(), 10_000);
    expect(manager.readKey('file:a.key', context)).toMatchObject({ notes: [] });
    rmSync(join(cwd, 'a.key'));
    manager.readKey('file:a.key', context);
    now += HOUR_MS;
    expect(errorOf(() => manager.readKey('file:a.key', context)).message).toContain('is left out');
    expect(told).toHaveLength(3);
  });

  it('gives up the value in the background when the time is over', async () => {
    const cloud = new Cloud(async () => ({ value: 'one' }));
    const onChange = vi.fn();
    const manager = managerWith({ sources: [cloud], refreshMs: 50, staleMs: 100, onChange });
    await manager.read('cloud:a');
    cloud.answer = () => Promise.reject(new Error('CANARY'));
    await vi.waitFor(() => expect(() => manager.resolve('cloud:a')).toThrow(/its source failed/), 10_000);
    expect(onChange).toHaveBeenCalledTimes(2);
    cloud.answer = async () => ({ value: 'two' });
    await vi.waitFor(() => expect(manager.resolve('cloud:a').reveal()).toBe('two'), 10_000);
  });

  it('does not keep a variable that was taken away', () => {
    const env: Record<string, string> = { A: 'one' };
    const manager = managerWith({ env });
    expect(manager.resolve('env:A').reveal()).toBe('one');
    delete env['A'];
    expect(() => manager.resolve('env:A')).toThrow('not set');
  });
});

describe('when a source is asked again', () => {
  const freshness = { staleMs: HOUR_MS, refreshMs: undefined };
  const context = {
    environment: { variables: new Map(), sources: [], notes: [] },
    folder: '/',
    keyId: 'a/b',
    isTemplateValue,
  };

  it('is before the end that it stated, and never without a pause', () => {
    const held = new HeldSecret('exec:x', context, freshness);
    expect(held.waitMs(0, 0)).toBeUndefined();
    fc.assert(
      fc.property(
        fc.integer({ min: -1_000, max: 2 ** 40 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (life, random) => {
          held.take({ secret: new Secret('k'), notes: [], expiresAt: 1_000 + life });
          const wait = held.waitMs(1_000, random) ?? 0;
          expect(wait).toBeGreaterThanOrEqual(50);
          expect(wait).toBeLessThanOrEqual(2 ** 31 - 1);
          if (life > 100) expect(wait).toBeLessThan(life);
        },
      ),
    );
  });

  it('is later each time that it failed, and no later than its value is given up', () => {
    const held = new HeldSecret('exec:x', context, freshness);
    held.take({ secret: new Secret('k'), notes: [] });
    const error = new KeymuxError('KEYMUX_SECRET_UNREADABLE', 'm', { fix: 'f' });
    const waits = [1, 2, 3, 4].map(() => {
      held.fail(error, 0);
      return held.waitMs(0, 0);
    });
    expect(waits).toEqual([700, 1_400, 2_800, 5_600]);
    expect(held.waitMs(HOUR_MS - 60, 0)).toBe(60);
    expect(held.fail(error, HOUR_MS)).toBe('given-up');
    expect(held.value).toBeUndefined();
  });
});

describe('any reference', () => {
  it('ends in a key or a KeymuxError that repeats nothing of a key', () => {
    const folder = folderWith();
    const environment = { variables: new Map(), sources: [], notes: [] };
    const kinds = fc.constantFrom('env:', 'file:', 'vault:', '', 'cloud:', ':', '__proto__:', 'constructor:');
    fc.assert(
      fc.property(kinds, fc.string(), (kind, rest) => {
        const reference = `${kind}${rest.replaceAll('\0', '')}sk-CANARY4f9c2e81b7d0`;
        const read = (): unknown =>
          readReference(reference, { environment, folder, keyId: 'acme/main', isTemplateValue });
        const error = errorOf(read);
        if (kind !== 'file:') expect(error.message + error.fix).not.toContain('CANARY4f9c2e81b7d0');
      }),
      { numRuns: 100 },
    );
  });
});
