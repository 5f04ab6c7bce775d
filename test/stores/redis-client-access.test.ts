import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createRedisClient, type RedisClientOptions } from '#keymux/stores/redis/client-node-redis.js';
import type { RedisClient } from '#keymux/stores/redis/client.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { ADAPTERS, administer, closedLater, ECHO, script } from './redis-client-fixture.js';
import { startRedis, type RedisServer } from './redis-server.js';

const CANARY = 'canary-5d81ee';
const LONG_MS = 10_000;
const unavailable = { code: 'KEYMUX_STORE_UNAVAILABLE' };

async function serverWith(...args: string[]): Promise<RedisServer> {
  const server = await startRedis({ args });
  onTestFinished(() => server.stop());
  return server;
}

function client(url: string, options?: RedisClientOptions): RedisClient {
  return closedLater(createRedisClient(url, options));
}

async function refusalOf(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => new Error('It was not refused.'),
    (fault: unknown) => fault,
  );
  return error as Error;
}

describe('the login of a Redis client', () => {
  it.each(ADAPTERS)('is that of the address, with $name', async ({ create }) => {
    const server = await serverWith('--requirepass', CANARY);
    const mine = await create(`redis://:${CANARY}@127.0.0.1:${String(server.port)}`);
    await mine.connect(LONG_MS);
    await expect(mine.run(ECHO, ['k'], ['a'], LONG_MS)).resolves.toHaveLength(5);
    expect(mine.address).toBe(server.url);
    expect(inspect(mine, { depth: 9, showHidden: true }) + JSON.stringify(mine)).not.toContain(CANARY);
  });

  it('may be that of a user with few rights, and given beside the address', async () => {
    const server = await serverWith(
      '--user',
      'mux',
      'on',
      `>${CANARY}`,
      '~*',
      '&*',
      '-@all',
      '+eval',
      '+evalsha',
    );
    const mine = client(server.url.replace('//', '//nobody:nothing@'), { username: 'mux', password: CANARY });
    await mine.connect(LONG_MS);
    await expect(mine.run(ECHO, ['k'], ['a'], LONG_MS)).resolves.toHaveLength(5);
    const denied = mine.run(script('s', 'return redis.call("GET", KEYS[1])'), ['k'], [], LONG_MS);
    await expect(denied).rejects.toMatchObject({ code: expect.stringMatching(/^(?:NOPERM|ERR)$/) });
  });

  it('is refused at once, long before the deadline, and taken up when it becomes right', async () => {
    const server = await serverWith('--user', 'mux', 'on', '>another', '~*', '&*', '+@all');
    const mine = client(`redis://mux:${CANARY}@127.0.0.1:${String(server.port)}`);
    const error = await refusalOf(mine.connect(600_000));
    expect(error).toMatchObject({ ...unavailable, message: expect.stringContaining('WRONGPASS') });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(CANARY);
    const stillRefused = await refusalOf(mine.run(ECHO, ['k'], ['a'], LONG_MS));
    expect(inspect(stillRefused, { depth: 9, showHidden: true })).not.toContain(CANARY);
    await (
      await administer(server.url)
    )('ACL', 'SETUSER', 'mux', `>${CANARY}`);
    const outcome = (): Promise<string> => mine.connect(LONG_MS).then(() => 'connected', String);
    await expect.poll(outcome, { timeout: 20_000 }).toBe('connected');
  });

  it('may lack the right to follow a channel, until it is given', async () => {
    const rights = ['~*', 'resetchannels', '+@all'];
    const server = await serverWith('--user', 'mux', 'on', '>mine', ...rights);
    const mine = client(server.url, { username: 'mux', password: 'mine' });
    let gaps = 0;
    await mine.subscribe('news', { onMessage: () => {}, onGap: () => (gaps += 1) });
    expect(gaps).toBe(0);
    await (
      await administer(server.url)
    )('ACL', 'SETUSER', 'mux', '&news');
    await expect.poll(() => gaps, { timeout: 20_000 }).toBe(1);
  });

  it('is asked for at once where it is missing', async () => {
    const server = await serverWith('--requirepass', CANARY);
    const error = await refusalOf(client(server.url).connect(600_000));
    expect(error).toMatchObject({ ...unavailable, message: expect.stringContaining('NOAUTH') });
  });

  it('is not told by an error of a server that repeats what it does not know', async () => {
    const echoing = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) =>
        socket.write(`-ERR unknown: ${bytes.toString().replaceAll(/\r\n/g, ' ')}\r\n`),
      );
    }).listen(0, '127.0.0.1');
    await expect.poll(() => echoing.listening).toBe(true);
    onTestFinished(() => void echoing.close());
    const port = (echoing.address() as { port: number }).port;
    const error = await refusalOf(client(`redis://mux:${CANARY}@127.0.0.1:${String(port)}`).connect(LONG_MS));
    expect(error.message).toContain('[secret]');
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(CANARY);
  });

  it('selects the database, and gives the connection a name', async () => {
    const server = await serverWith();
    const mine = client(`${server.url}/3`, { connectionName: 'mine' });
    await mine.connect(LONG_MS);
    const clients = (await administer(server.url))('CLIENT', 'LIST');
    await expect(clients).resolves.toMatch(/ name=mine .* db=3 /);
  });
});

describe('TLS of a Redis client', () => {
  async function tlsServer(
    hosts: readonly string[],
  ): Promise<{ url: string; files: Record<string, string> }> {
    const directory = mkdtempSync(join(tmpdir(), 'keymux-redis-tls-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const { key, cert } = createCertificate(hosts);
    const files = { key: join(directory, 'key.pem'), cert: join(directory, 'cert.pem') };
    writeFileSync(files.key, key);
    writeFileSync(files.cert, cert);
    const tlsPort = 30_000 + Math.floor(Math.random() * 2_000);
    await serverWith(
      ...['--tls-port', String(tlsPort), '--tls-cert-file', files.cert, '--tls-key-file', files.key],
      ...['--tls-ca-cert-file', files.cert, '--tls-auth-clients', 'yes'],
    );
    return { url: `rediss://127.0.0.1:${String(tlsPort)}`, files };
  }

  it('checks the server against the file of the authority, and shows a certificate of its own', async () => {
    const { url, files } = await tlsServer(['127.0.0.1']);
    const tls = { caFile: files['cert'] ?? '', certFile: files['cert'] ?? '', keyFile: files['key'] ?? '' };
    const mine = client(url, { tls });
    await mine.connect(LONG_MS);
    await expect(mine.run(ECHO, ['k'], ['a'], LONG_MS)).resolves.toHaveLength(5);
    const { certFile: _, keyFile: __, ...anonymous } = tls;
    await expect(client(url, { tls: anonymous }).connect(500)).rejects.toMatchObject(unavailable);
    await expect(client(url).connect(500)).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('self-signed'),
    });
  });

  it('expects another name of the server where it is told', async () => {
    const { url, files } = await tlsServer(['redis.internal']);
    const tls = { caFile: files['cert'] ?? '', certFile: files['cert'] ?? '', keyFile: files['key'] ?? '' };
    await expect(client(url, { tls }).connect(500)).rejects.toMatchObject(unavailable);
    const mine = client(url, { tls: { ...tls, serverName: 'redis.internal' } });
    await mine.connect(LONG_MS);
    await expect(mine.run(ECHO, ['k'], ['a'], LONG_MS)).resolves.toHaveLength(5);
  });

  it('says at once which file it cannot read', async () => {
    const mine = client('rediss://127.0.0.1:1', { tls: { caFile: '/nowhere/ca.pem' } });
    const error = await refusalOf(mine.connect(600_000));
    expect(error).toMatchObject({
      code: 'KEYMUX_CONFIG_INVALID',
      message: expect.stringContaining('/nowhere/ca.pem'),
    });
  });
});
