/** What every adapter does, over a server that goes through everything that servers go through. */
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { hrtimeMs, RedisReplyError, type RedisClient } from '#keymux/stores/redis/client.js';
import { ADAPTERS, COUNT, ECHO, PUBLISH, SPIN, script, startProxy } from './redis-client-fixture.js';
import { startRedis, type RedisServer } from './redis-server.js';

const LONG_MS = 10_000;
const unavailable = { name: 'KeymuxError', code: 'KEYMUX_STORE_UNAVAILABLE' };
const timedOut = { name: 'KeymuxError', code: 'KEYMUX_TIMEOUT' };

async function worksAgain(client: RedisClient): Promise<void> {
  const echoed = (): Promise<unknown> => client.run(ECHO, ['k'], ['again'], 500).catch(() => undefined);
  await expect.poll(echoed, { timeout: 20_000 }).toEqual(['k', 'again', 7, null, ['1.5']]);
}

describe.each(ADAPTERS)('a client of $name', ({ create, isOurs }) => {
  let server: RedisServer;
  beforeAll(async () => void (server = await startRedis()));
  afterAll(() => server.stop());

  async function connected(url = server.url): Promise<RedisClient> {
    const client = await create(url);
    await client.connect(LONG_MS);
    return client;
  }

  /** Commands under way when something happens. */
  async function failureDuring(client: RedisClient, happen: () => unknown): Promise<unknown> {
    const running = client.run(SPIN, ['k'], ['2500'], LONG_MS).then(
      () => 'answered',
      (error: unknown) => error,
    );
    // Nothing answers once the script runs, so that this shows that it does.
    await expect
      .poll(() => client.run(COUNT, ['k'], [], 100).catch(() => 'busy'), { timeout: LONG_MS })
      .toBe('busy');
    await happen();
    return running;
  }

  it('runs scripts, with their keys and arguments, and answers with texts, numbers, lists and null', async () => {
    const client = await connected();
    await expect(client.run(ECHO, ['k'], ['ä'], LONG_MS)).resolves.toEqual(['k', 'ä', 7, null, ['1.5']]);
    await expect(client.run(script('s', 'return #KEYS'), [], [], LONG_MS)).resolves.toBe(0);
    expect(client.address).toBe(server.url);
  });

  it('hears: lastHeardMs moves with answers and with refusals', async () => {
    const client = await connected();
    for (const text of ['return 1', 'return redis.error_reply("NO thanks")']) {
      const beforeMs = hrtimeMs();
      await client.run(script('s', text), ['k'], [], LONG_MS).catch(() => {});
      expect(client.lastHeardMs).toBeGreaterThanOrEqual(beforeMs);
    }
  });

  it('tells the refusal of the server by its first word', async () => {
    const client = await connected();
    const refused = client.run(script('s', 'return redis.error_reply("NO thanks")'), ['k'], [], LONG_MS);
    await expect(refused).rejects.toBeInstanceOf(RedisReplyError);
    await expect(refused).rejects.toMatchObject({ code: 'NO', message: expect.stringMatching(/^NO thanks/) });
  });

  it('gives the text of a script where the server has forgotten it', async () => {
    const client = await connected();
    const once = script('once', `return "${String(hrtimeMs())}"`);
    const isKnown = script('flush', 'return redis.sha1hex(ARGV[1])');
    await client.run(once, ['k'], [], LONG_MS);
    await expect(client.run(isKnown, ['k'], [once.text], LONG_MS)).resolves.toBe(once.sha1);
    await server.restart({ keepData: true });
    await worksAgain(client);
    await expect(client.run(once, ['k'], [], LONG_MS)).resolves.toBe(/"(.*)"/.exec(once.text)?.[1]);
  });

  it('rejects within the deadline while the server is frozen, and works again afterwards', async () => {
    const client = await connected();
    server.pause();
    onTestFinished(() => server.resume());
    const beforeMs = hrtimeMs();
    await expect(client.run(ECHO, ['k'], ['a'], 50)).rejects.toMatchObject(timedOut);
    expect(hrtimeMs() - beforeMs).toBeGreaterThanOrEqual(40);
    expect(client.lastHeardMs).toBeLessThan(beforeMs);
    server.resume();
    await worksAgain(client);
  });

  it('takes a slow answer for an answer, and one that is too slow for none', async () => {
    const proxy = await startProxy(server.port);
    const client = await connected(proxy.url);
    proxy.delay(60);
    await expect(client.run(ECHO, ['k'], ['a'], LONG_MS)).resolves.toHaveLength(5);
    proxy.delay(500);
    await expect(client.run(ECHO, ['k'], ['a'], 60)).rejects.toMatchObject(timedOut);
    await expect
      .poll(() => hrtimeMs() - client.lastHeardMs, { interval: 5, timeout: LONG_MS })
      .toBeLessThan(400);
  });

  it('reads the answer that came while this thread was blocked', async () => {
    const client = await connected();
    await client.run(ECHO, ['k'], ['a'], LONG_MS);
    for (const blockAfter of ['the question was asked', 'the question was sent']) {
      const answer = client.run(ECHO, ['k'], [blockAfter], 40);
      if (blockAfter.endsWith('sent')) await new Promise((resolve) => setImmediate(resolve));
      const untilMs = hrtimeMs() + 200;
      while (hrtimeMs() < untilMs);
      await expect(answer).resolves.toContain(blockAfter);
    }
  });

  it('rejects what is under way when the server is killed, and everything at once until it is back', async () => {
    const client = await connected();
    expect(await failureDuring(client, () => server.kill())).toMatchObject(unavailable);
    const beforeMs = hrtimeMs();
    for (let i = 0; i < 100; i += 1)
      await expect(client.run(ECHO, ['k'], ['a'], LONG_MS)).rejects.toMatchObject(unavailable);
    expect(hrtimeMs() - beforeMs).toBeLessThan(LONG_MS);
    await server.restart({ keepData: false });
    await worksAgain(client);
  });

  it('rejects what is under way when the connection breaks, and connects again', async () => {
    const proxy = await startProxy(server.port);
    const client = await connected(proxy.url);
    expect(await failureDuring(client, () => proxy.cut())).toMatchObject(unavailable);
    await worksAgain(client);
    expect(proxy.connections).toBeGreaterThan(1);
  });

  it('queues nothing: what was refused is not done later', async () => {
    const client = await connected();
    await server.kill();
    await expect.poll(() => client.run(ECHO, ['k'], ['a'], 100).catch(() => 'refused')).toBe('refused');
    for (let i = 0; i < 3; i += 1)
      await expect(client.run(COUNT, ['queued'], [], LONG_MS)).rejects.toMatchObject(unavailable);
    await server.restart({ keepData: false });
    await worksAgain(client);
    await expect(client.run(COUNT, ['queued'], [], LONG_MS)).resolves.toBe(1);
  });

  it('says at once that there is no server, and connects when there is one', async () => {
    const spare = await startRedis();
    onTestFinished(() => spare.stop());
    await spare.kill();
    const client = await create(spare.url);
    await expect(client.run(ECHO, ['k'], ['a'], LONG_MS)).rejects.toMatchObject(unavailable);
    await expect(client.connect(100)).rejects.toMatchObject(unavailable);
    await spare.restart({ keepData: false });
    await client.connect(LONG_MS);
    await worksAgain(client);
  });

  it('may be closed while it connects', async () => {
    const client = await create('redis://127.0.0.1:1');
    const connecting = client.connect(60_000);
    setImmediate(() => void client.close());
    await expect(connecting).rejects.toMatchObject({ code: 'KEYMUX_CLOSED' });
  });

  it('is not connected while a server accepts but does not answer', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await expect.poll(() => silent.listening).toBe(true);
    onTestFinished(() => void silent.close());
    const port = (silent.address() as { port: number }).port;
    const client = await create(`redis://127.0.0.1:${String(port)}`);
    const error: unknown = await client.connect(200).catch((fault: unknown) => fault);
    expect(['KEYMUX_STORE_UNAVAILABLE', 'KEYMUX_TIMEOUT']).toContain((error as { code?: string }).code);
  });

  it('follows a channel through restarts and breaks, telling each time that messages may have been missed', async () => {
    const proxy = await startProxy(server.port);
    const client = await connected(proxy.url);
    const messages: string[] = [];
    let gaps = 0;
    const stop = await client.subscribe('news', {
      onMessage: (message) => messages.push(message),
      onGap: () => (gaps += 1),
    });
    expect(gaps).toBe(1);
    const publish = (text: string): Promise<unknown> => client.run(PUBLISH, ['k'], ['news', text], LONG_MS);
    await publish('first');
    await expect.poll(() => messages).toEqual(['first']);
    proxy.cut();
    await expect.poll(() => gaps, { timeout: 20_000 }).toBe(2);
    await worksAgain(client);
    await publish('second');
    await expect.poll(() => messages).toEqual(['first', 'second']);
    await server.restart({ keepData: false });
    await expect.poll(() => gaps, { timeout: 20_000 }).toBe(3);
    await worksAgain(client);
    await stop();
    await expect.poll(() => publish('nobody')).toBe(0);
    expect(messages).toEqual(['first', 'second']);
  });

  it('begins to follow a channel later where there is no server yet', async () => {
    const spare = await startRedis();
    onTestFinished(() => spare.stop());
    await spare.kill();
    const client = await create(spare.url);
    let gaps = 0;
    await client.subscribe('news', { onMessage: () => {}, onGap: () => (gaps += 1) });
    expect(gaps).toBe(0);
    await spare.restart({ keepData: false });
    await expect.poll(() => gaps, { timeout: 20_000 }).toBe(1);
  });

  it('notices that a subscription is half open', { timeout: 30_000 }, async () => {
    const proxy = await startProxy(server.port);
    const client = await connected(proxy.url);
    let gaps = 0;
    await client.subscribe('news', { onMessage: () => {}, onGap: () => (gaps += 1) });
    proxy.swallow();
    await expect.poll(() => gaps, { timeout: 20_000 }).toBe(2);
  });

  if (isOurs)
    it('gives a half open connection up, without being asked again', async () => {
      const proxy = await startProxy(server.port);
      const client = await connected(proxy.url);
      proxy.swallow();
      const { connections } = proxy;
      await expect(client.run(ECHO, ['k'], ['a'], 40)).rejects.toMatchObject(timedOut);
      expect(proxy.connections).toBe(connections);
      await expect.poll(() => proxy.connections, { timeout: 20_000 }).toBeGreaterThan(connections);
      await worksAgain(client);
    });

  if (isOurs)
    it('keeps a connection on which something is heard', async () => {
      const proxy = await startProxy(server.port);
      const client = await connected(proxy.url);
      const { connections } = proxy;
      proxy.delay(300);
      const untilMs = hrtimeMs() + 1_500;
      while (hrtimeMs() < untilMs)
        await expect(client.run(ECHO, ['k'], ['a'], 100)).rejects.toMatchObject(timedOut);
      proxy.delay(0);
      await worksAgain(client);
      expect(proxy.connections).toBe(connections);
    });

  it('is closed once: what is under way is rejected, and everything afterwards', async () => {
    const client = await connected();
    let gaps = 0;
    await client.subscribe('news', { onMessage: () => {}, onGap: () => (gaps += 1) });
    expect(await failureDuring(client, () => client.close())).toMatchObject({ code: 'KEYMUX_CLOSED' });
    await client.close();
    const closed = { code: 'KEYMUX_CLOSED' };
    await expect(client.run(ECHO, ['k'], ['a'], LONG_MS)).rejects.toMatchObject(closed);
    await expect(client.connect(LONG_MS)).rejects.toMatchObject(closed);
    await expect(client.subscribe('c', { onMessage: () => {}, onGap: () => {} })).rejects.toMatchObject(
      closed,
    );
  });
});
