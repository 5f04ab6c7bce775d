import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { command, serverOfTest } from '../stores/redis-store-fixture.js';
import { makeCanary } from './canary.js';
import { Sinks } from './sinks.js';
import { refusing, startProvider, temporaryFolder } from './stage.js';

it('a Redis holds no key, and what is said on its channels and of its commands neither', async () => {
  const canaries = [makeCanary('bad'), makeCanary('good')] as const;
  const secret = makeCanary('secret of the store');
  const dumps = temporaryFolder();
  // What is compressed could not be searched.
  const server = await serverOfTest({
    args: [
      '--dir',
      dumps,
      '--rdbcompression',
      'no',
      '--slowlog-log-slower-than',
      '0',
      '--slowlog-max-len',
      '10000',
    ],
  });
  const provider = await startProvider(refusing(canaries[0], 401));
  const folder = temporaryFolder();
  const sinks = new Sinks();
  const manager = new KeyManager({
    env: {
      ACME_API_KEY: canaries[0].text,
      ACME_API_KEY_2: canaries[1].text,
      STORE_SECRET: secret.text,
      KEYMUX_STATE_DIR: folder,
    },
    cwd: folder,
    config: {
      store: { type: 'redis', url: server.url, secret: 'env:STORE_SECRET' },
      providers: {
        acme: {
          baseUrl: provider.origin,
          auth: { in: 'header', name: 'x-api-key' },
          limits: [{ requests: 50, per: 'hour' }],
        },
      },
    },
    logger: { warn: (text) => sinks.add('log', text), info: (text) => sinks.add('log', text) },
    random: () => 0,
    drainMs: 1,
  });
  onTestFinished(() => manager.shutdown());
  sinks.follow('manager', manager);
  await manager.ready;
  for (let count = 0; count < 5; count += 1) await (await manager.fetch('acme', '/v1/x')).text();
  manager.disable('acme/main');
  manager.reset('acme/main');
  await manager.shutdown();

  await command(server.url, 'SAVE');
  const dump = readFileSync(join(dumps, 'dump.rdb'));
  sinks.add('dump', dump);
  sinks.addValue('commands', await command(server.url, 'SLOWLOG', 'GET', '10000'));
  sinks.addFiles('folder', folder);
  expect(provider.seen(canaries)).toEqual(expect.arrayContaining(['bad', 'good']));
  expect(dump.length).toBeGreaterThan(500);
  sinks.expectNone([...canaries, secret], 'dump', 'commands, as JSON', 'manager: event rejected');
});
