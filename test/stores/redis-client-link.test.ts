/** What a link and the sentinels do with connections that behave as real ones do only by chance. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { KeymuxError } from '#keymux/core/errors.js';
import type { Connection } from '#keymux/stores/redis/client-connection.js';
import { within } from '#keymux/stores/redis/client-deadline.js';
import { notConnected, withoutSecrets } from '#keymux/stores/redis/client-errors.js';
import { Link, pauseMs } from '#keymux/stores/redis/client-link.js';
import { Sentinels } from '#keymux/stores/redis/client-sentinel.js';
import { subscribe } from '#keymux/stores/redis/client-subscription.js';
import { hrtimeMs, RedisReplyError, replyOf } from '#keymux/stores/redis/client.js';
import { fakeConnection, type Faked } from './redis-client-fixture.js';

const LONG_MS = 10_000;
const PATIENCE = { timeout: 20_000 };

function linkTo(open: () => Promise<Connection>, onOpen?: () => Promise<void>): Link {
  const link = new Link({ address: 'redis://fake', open, ...(onOpen === undefined ? {} : { onOpen }) });
  onTestFinished(() => link.close());
  return link;
}

describe('a link', () => {
  it('waits up to 50 ms before the first attempt, and up to 500 ms later, and never the same', () => {
    expect([0, 1].map((random) => pauseMs(0, random))).toEqual([25, 50]);
    expect([0, 1].map((random) => pauseMs(20, random))).toEqual([250, 500]);
  });

  it('leaves a server that has become a replica', async () => {
    const opened: Faked[] = [];
    const link = linkTo(async () => {
      const isFirst = opened.length === 0;
      opened.push(
        fakeConnection(async () => {
          if (isFirst) throw new RedisReplyError('READONLY You can not write against a read only replica.');
          return 'master';
        }),
      );
      return opened.at(-1) as Faked;
    });
    await link.ready(LONG_MS);
    await expect(link.send(['X'], LONG_MS)).rejects.toMatchObject({ code: 'READONLY' });
    await expect.poll(() => link.send(['X'], LONG_MS).catch(() => ''), PATIENCE).toBe('master');
    expect(opened.map((connection) => connection.isEnded())).toEqual([true, false]);
  });

  it('ends a connection that cannot be prepared, and tries another', async () => {
    const opened: Faked[] = [];
    const link = linkTo(
      async () => {
        opened.push(fakeConnection(async () => 'fine'));
        return opened.at(-1) as Faked;
      },
      async () => {
        if (opened.length === 1) throw new Error('not yet');
      },
    );
    await link.ready(LONG_MS);
    expect(opened.map((connection) => connection.isEnded())).toEqual([true, false]);
  });

  it('that is closed while it connects ends what comes of it, and says so to those who wait', async () => {
    const connection = fakeConnection(async () => 'too late');
    let arrive: () => void = () => {};
    const arrival = new Promise<void>((resolve) => (arrive = resolve));
    const link = linkTo(() => arrival.then(() => connection));
    const waiting = link.ready(LONG_MS);
    link.close();
    await expect(waiting).rejects.toMatchObject({ code: 'KEYMUX_CLOSED' });
    arrive();
    await expect.poll(() => connection.isEnded()).toBe(true);
    await expect(link.ready(LONG_MS)).rejects.toMatchObject({ code: 'KEYMUX_CLOSED' });
  });
});

describe('a subscription', () => {
  it('that was ended tells nothing more', async () => {
    const connection = fakeConnection(async () => 'PONG');
    const told: string[] = [];
    const hooks = { onMessage: (text: string) => void told.push(text), onGap: () => void told.push('gap') };
    const subscription = subscribe('redis://fake', async () => connection, 'news', hooks);
    await subscription.begun;
    connection.say('first');
    subscription.close();
    connection.say('second');
    expect(told).toEqual(['gap', 'first']);
    const ended = subscribe('redis://fake', async () => connection, 'news', hooks);
    ended.close();
    await ended.begun;
    expect(told).toEqual(['gap', 'first']);
  });

  it('is tried again where the server does not confirm it', async () => {
    let attempts = 0;
    const open = async (): Promise<Connection> => {
      attempts += 1;
      const connection = fakeConnection(async () => 'PONG');
      return attempts === 1 ? { ...connection, subscribe: () => new Promise(() => {}) } : connection;
    };
    let gaps = 0;
    const subscription = subscribe('redis://fake', open, 'news', {
      onMessage: () => {},
      onGap: () => (gaps += 1),
    });
    onTestFinished(() => subscription.close());
    await expect.poll(() => gaps, PATIENCE).toBe(1);
    expect(attempts).toBe(2);
  });
});

describe('the sentinels', () => {
  const master = (port: string): readonly string[] => ['10.0.0.1', port];

  it('are not believed where the server is no master, and another is asked', async () => {
    const asked: number[] = [];
    const servers: Faked[] = [];
    const sentinels = new Sentinels({
      address: 'redis+sentinel://fake',
      sentinels: [
        { host: 'stale', port: 1 },
        { host: 'dead', port: 2 },
        { host: 'right', port: 3 },
      ],
      master: 'm',
      openSentinel: async ({ host, port }) => {
        asked.push(port);
        if (host === 'dead') throw new Error('nobody there');
        return fakeConnection(async () => master(host === 'stale' ? '1' : '2'));
      },
      openServer: async ({ port }) => {
        servers.push(fakeConnection(async () => (port === 1 ? ['slave'] : ['master'])));
        return servers.at(-1) as Faked;
      },
    });
    await expect(sentinels.open()).rejects.toThrow('no master any more');
    await sentinels.open();
    await sentinels.open();
    expect(asked).toEqual([1, 2, 3, 3]);
    expect(servers.map((server) => server.isEnded())).toEqual([true, false, false]);
  });

  it('that hear of a new master, or know another when they are reached again, have the old one left', async () => {
    let current = '1';
    const followers: Faked[] = [];
    const servers: Faked[] = [];
    const sentinels = new Sentinels({
      address: 'redis+sentinel://fake',
      sentinels: [{ host: 's', port: 1 }],
      master: 'm',
      openSentinel: async () => {
        followers.push(fakeConnection(async () => master(current)));
        return followers.at(-1) as Faked;
      },
      openServer: async () => {
        servers.push(fakeConnection(async () => ['master']));
        return servers.at(-1) as Faked;
      },
    });
    const subscription = sentinels.follow();
    onTestFinished(() => subscription.close());
    await subscription.begun;
    const [follower] = followers;
    await sentinels.open();
    follower?.say('other 10.0.0.1 1 10.0.0.1 9');
    follower?.say('m 10.0.0.1 0 10.0.0.1 1');
    expect(servers[0]?.isEnded()).toBe(false);
    follower?.say('m 10.0.0.1 1 10.0.0.1 2');
    expect(servers[0]?.isEnded()).toBe(true);
    await sentinels.open();
    current = '3';
    expect(servers[1]?.isEnded()).toBe(false);
    follower?.destroy();
    await expect.poll(() => servers[1]?.isEnded(), PATIENCE).toBe(true);
  });
});

describe('a deadline', () => {
  it('is lengthened once where this thread was blocked, and not for ever', async () => {
    const startedMs = hrtimeMs();
    const never = within(new Promise(() => {}), 20, () => new Error('late'));
    while (hrtimeMs() < startedMs + 100);
    await expect(never).rejects.toThrow('late');
    expect(hrtimeMs() - startedMs).toBeLessThan(LONG_MS);
  });
});

describe('what is told of an error', () => {
  it('names each reason where several addresses of a host were tried, and keeps the code', () => {
    const reasons = new AggregateError([new Error('refused at ::1'), new Error('refused at 127.0.0.1')], '');
    const clean = withoutSecrets(Object.assign(reasons, { code: 'ECONNREFUSED' }), ['']);
    expect(clean).toMatchObject({ message: 'refused at ::1; refused at 127.0.0.1', code: 'ECONNREFUSED' });
    expect(withoutSecrets('a secret', ['secret']).message).toBe('a [secret]');
    expect(withoutSecrets(new RedisReplyError('ERR secret'), ['secret'])).toMatchObject({ code: 'ERR' });
  });

  it('blames the configuration at the start only', () => {
    const cause = new KeymuxError('KEYMUX_CONFIG_INVALID', 'no file', { fix: 'none' });
    expect(notConnected('redis://h', cause).code).toBe('KEYMUX_STORE_UNAVAILABLE');
    expect(notConnected('redis://h').message).toBe('There is no connection to redis://h.');
  });

  it('has the first word of a refusal as its code, and ERR where there is none', () => {
    const codes = ['NO thanks', 'OOM', 'Lower case', '', 'WRONG: colon'].map(
      (text) => new RedisReplyError(text).code,
    );
    expect(codes).toEqual(['NO', 'OOM', 'ERR', 'ERR', 'ERR']);
  });
});

it('reads bytes as texts, and numbers of any size as numbers', () => {
  expect(replyOf([Buffer.from('ä'), 7n, 7, null, ['x']])).toEqual(['ä', 7, 7, null, ['x']]);
});
