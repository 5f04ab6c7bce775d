import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { readConfiguration } from '#keymux/manager/discovery.js';
import {
  fromPortable,
  hearThreads,
  stopTelling,
  tellThreads,
  toPortable,
} from '#keymux/manager/thread-news.js';
import type { Configuration } from '#keymux/config/configuration.js';
import { BroadcastChannel } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder, virtualProvider } from '../interceptors/virtual.js';

const REAL = 'canary-real';

function configurationIn(folder: string): Configuration {
  const acme = { baseUrl: 'http://127.0.0.1:9', ...virtualProvider([`${REAL}-0`, `${REAL}-1`], folder) };
  const config = { providers: { acme, plain: { baseUrl: 'http://127.0.0.1:8' } } } as never;
  return readConfiguration({ env: { PLAIN_API_KEY: 'key-plain' }, cwd: folder, config });
}

function textsOf({ credentials }: Configuration): string[] {
  return credentials.map(({ id, secret }) => `${id} ${secret.reveal()}`);
}

describe('what threads tell one another', () => {
  it('holds no key of a virtual provider, and leads each thread to it', () => {
    const configuration = configurationIn(temporaryFolder());
    const portable = structuredClone(toPortable(configuration));
    expect(JSON.stringify([portable.credentials, portable.notes])).not.toContain(REAL);
    expect(JSON.stringify(portable.credentials)).toContain('key-plain');
    const arrived = fromPortable(portable);
    expect(textsOf(arrived)).toEqual([`k0 ${REAL}-0`, `k1 ${REAL}-1`, 'main key-plain']);
    expect(arrived.credentials).toEqual(configuration.credentials);
  });

  it('is read as it is now, and a key that cannot be read here is left out with a note', () => {
    const folder = temporaryFolder();
    const portable = toPortable(configurationIn(folder));
    writeFileSync(join(folder, '0.key'), 'canary-new', { mode: 0o600 });
    rmSync(join(folder, '1.key'));
    const arrived = fromPortable(portable);
    expect(textsOf(arrived)).toEqual(['k0 canary-new', 'main key-plain']);
    expect(arrived.notes).toEqual([...portable.notes, expect.stringContaining('acme/k1 (file:')]);
  });

  it('holds the address of a Redis, which each thread hides again', () => {
    const url = 'rediss://fleet:canary-password@redis.internal:6380';
    const env = { KEYMUX_STORE: url, FLEET_SECRET: 'sixteen-or-longer' };
    const config = {
      store: { type: 'redis', url: 'redis://a', members: 3, secret: 'env:FLEET_SECRET' },
    } as const;
    const configuration = readConfiguration({ env, cwd: temporaryFolder(), config });
    const arrived = fromPortable(structuredClone(toPortable(configuration)));
    expect(arrived.store).toEqual(configuration.store);
    expect(inspect(arrived, { depth: 9 })).not.toContain('canary-password');
    if (arrived.store.type !== 'redis') expect.unreachable('another store');
    expect(arrived.store.url.reveal()).toBe(url);
    expect(arrived.store.secret?.reveal()).toBe('sixteen-or-longer');
    const plain = readConfiguration({ env: { KEYMUX_STORE: url }, cwd: temporaryFolder(), config: false });
    expect(fromPortable(toPortable(plain)).store).toEqual(plain.store);
  });

  it('goes over the channel without such a key', async () => {
    const channel = new BroadcastChannel('keymux:configuration');
    onTestFinished(() => channel.close());
    const overheard = new Promise<unknown>((resolve) => {
      channel.onmessage = (event: unknown) => resolve((event as { data: unknown }).data);
    });
    const heard = new Promise<Configuration>((resolve) => onTestFinished(hearThreads(resolve)));
    tellThreads(configurationIn(temporaryFolder()));
    expect(textsOf(await heard)).toContain(`k0 ${REAL}-0`);
    const { credentials } = (await overheard) as { credentials: unknown };
    expect(JSON.stringify(credentials)).toContain('key-plain');
    expect(JSON.stringify(credentials)).not.toContain(REAL);
  });

  it('reaches a thread that was starting when it was told, once', async () => {
    onTestFinished(stopTelling);
    tellThreads(configurationIn(temporaryFolder()));
    const heard: Configuration[] = [];
    await new Promise<void>((resolve) => {
      onTestFinished(
        hearThreads((news) => {
          heard.push(news);
          resolve();
        }),
      );
    });
    expect(heard.map(textsOf)).toEqual([[`k0 ${REAL}-0`, `k1 ${REAL}-1`, 'main key-plain']]);
  });

  it('is forgotten where another thread told something later, and with its manager', async () => {
    const words = new BroadcastChannel('keymux:configuration-questions');
    onTestFinished(() => words.close());
    const answers: unknown[] = [];
    let onWord = (): void => {};
    words.onmessage = (event: unknown) => {
      answers.push((event as { data: unknown }).data);
      onWord();
    };
    const nextWord = (): Promise<void> => new Promise((resolve) => (onWord = resolve));
    tellThreads(configurationIn(temporaryFolder()));
    await nextWord();
    expect(answers.splice(0)).toEqual([{ kind: 'told' }]);
    words.postMessage({ kind: 'question', from: 7 });
    await nextWord();
    expect(answers.splice(0)).toMatchObject([{ kind: 'answer', to: 7 }]);
    words.postMessage({ kind: 'told' });
    words.postMessage({ kind: 'question', from: 8 });
    const asked = nextWord();
    onTestFinished(stopTelling);
    // Told anew, so that there is a word to wait for: none came before it.
    tellThreads(configurationIn(temporaryFolder()));
    await asked;
    expect(answers.map((word) => (word as { kind: string }).kind)).toEqual(['told']);
  });
});
