import { once } from 'node:events';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { joinRedaction, redactKnown } from '#keymux/manager/process-redaction.js';
import { createKeyManager } from '#keymux/manager/registry.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { expect, it } from 'vitest';

it('keeps keys out of the log, in whatever way an error of others quotes them', async () => {
  const key = "canary-key/with'odd'letters";
  const lines: string[] = [];
  const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
  const quoted = [new URLSearchParams({ k: key }).toString(), `p=${encodeURIComponent(key)}`].join('&');
  store.open = () => Promise.reject(new Error(`no answer from https://store.test/?${quoted} for ${key}`));
  const manager = createKeyManager({
    env: { ACME_API_KEY: key, SHORT_API_KEY: 'so' },
    config: {
      providers: {
        acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] },
        short: { baseUrl: 'http://127.0.0.1:9', env: ['SHORT_API_KEY'] },
      },
    },
    store,
    logger: { warn: (line) => void lines.push(line), info: () => {} },
  });
  await manager.ready;
  await manager.shutdown();
  expect(lines.join('\n')).toContain('https://store.test/?k=[keymux:acme/');
  expect(lines.join('\n')).toMatch(/no answer from/);
  expect(lines.join('\n')).not.toMatch(/canary|odd/);
});

it('keeps keys out of the warnings of the process, whichever manager and copy of the package knows them', async () => {
  const [one, two] = ['canary-key/one!1', 'canary-key/two!2'];
  const managers = [one, two].map((key) =>
    createKeyManager({
      env: { ACME_API_KEY: key },
      config: { providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } } },
    }),
  );
  const warned = once(process, 'warning') as Promise<[Error]>;
  managers[0]?.on('administered', () => {
    throw new Error(`refused https://acme.test/?key=${encodeURIComponent(two)} after ${one}`);
  });
  managers[0]?.disable('acme/main');
  const [{ message }] = await warned;
  await Promise.all(managers.map((manager) => manager.shutdown()));
  expect(message).toContain('refused https://acme.test/?key=[keymux:acme/main] after [keymux:acme/main]');
});

it.each<[string, (key: string) => unknown, unknown]>([
  [
    'an error that holds it in a header',
    (key) => Object.assign(new RangeError('refused'), { headers: { key } }),
    { name: 'RangeError', message: 'refused' },
  ],
  [
    'an error without a stack',
    (key) => Object.assign(new Error(`of ${key}`), { stack: undefined }),
    { message: 'of [keymux:acme/main]' },
  ],
  ['a text', (key) => `of ${key}`, { message: 'of [keymux:acme/main]' }],
  ['something without it', () => 5, 5],
])('passes no key on in a cause: %s', (_what, causeWith, expected) => {
  const key = 'canary-key/three!3';
  const failing = (): unknown =>
    new KeyManager(
      {
        env: { ACME_API_KEY: key },
        config: { providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } } },
      },
      {
        integrate: () => {
          throw causeWith(key);
        },
      },
    );
  const error = thrownBy(failing);
  expect(error).toMatchObject({ code: 'KEYMUX_INIT_FAILED', cause: expected });
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('canary');
});

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

it('asks no owner of keys that is gone', async () => {
  let asked = 0;
  const come = (): void =>
    joinRedaction((text) => {
      asked += 1;
      return text;
    });
  come();
  redactKnown('a text');
  expect(asked).toBe(1);
  const collect = collector();
  await expect
    .poll(() => {
      collect();
      const before = asked;
      redactKnown('a text');
      return asked - before;
    })
    .toBe(0);
  joinRedaction(String);
  expect(redactKnown('a text')).toBe('a text');
});

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
