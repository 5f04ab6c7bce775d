import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Observation, ObservedEvent } from '#keymux/manager/observation.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ownServer } from './own-server.js';
import type { OwnServer } from './own-server.js';

interface Followed {
  readonly response: IncomingMessage;
  /** Everything so far. */
  text(): string;
  /** Names of the events so far. */
  names(): string[];
  readonly closed: Promise<void>;
}

async function follow(
  { origin }: Pick<OwnServer, 'origin'>,
  { query = '', headers = {} }: { query?: string; headers?: Record<string, string> } = {},
): Promise<Followed> {
  const request = get(`${origin}/-/events${query}`, {
    headers: { authorization: 'Bearer read', ...headers },
  });
  onTestFinished(() => void request.destroy());
  request.on('error', () => {});
  const response = await new Promise<IncomingMessage>((resolve) => request.once('response', resolve));
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  response.on('error', () => {});
  return {
    response,
    text: () => text,
    names: () => [...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name ?? ''),
    closed: new Promise((resolve) => response.once('close', () => resolve())),
  };
}

const rest = (id: string) =>
  [id, { kind: 'rate-limited', scope: 'key', executed: 'no', retryAt: Date.now() + 60_000 }] as const;

describe('the stream of events', () => {
  it('begins with the recent past and goes on as it happens', async () => {
    const server = await ownServer();
    server.manager.report(...rest('acme/main'));
    const followed = await follow(server);
    expect(followed.response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(followed.response.headers['cache-control']).toBe('no-store');
    await expect.poll(followed.names).toEqual(['cooldown']);
    server.manager.report(...rest('acme/2'));
    await expect.poll(followed.names).toEqual(['cooldown', 'cooldown']);
    expect(followed.text()).toMatch(/^retry: 2000\n\nid: [0-9a-f]{8}-\d+\nevent: cooldown\ndata: \{.*\}\n\n/);
    expect(followed.text()).toContain('"subject":"acme/2"');
  });

  it('goes on after what was seen last, and from the start where that was another process', async () => {
    const server = await ownServer();
    server.manager.report(...rest('acme/main'));
    server.manager.report(...rest('acme/2'));
    const first = await follow(server);
    await expect.poll(first.names).toHaveLength(2);
    const [seen = ''] = [...first.text().matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
    const again = await follow(server, { headers: { 'last-event-id': seen } });
    await expect.poll(again.names).toHaveLength(1);
    expect(again.text()).toContain('"subject":"acme/2"');
    for (const id of [seen.replace(/^\w+/, 'feedbeef'), 'nonsense', `${seen}x`]) {
      const anew = await follow(server, { headers: { 'last-event-id': id } });
      await expect.poll(anew.names).toHaveLength(2);
    }
  });

  it('tells of attempts and requests to whoever asks for them', async () => {
    const server = await ownServer();
    const [all, quiet] = [await follow(server, { query: '?all=1' }), await follow(server)];
    const response = await server.manager.fetch('acme', '/').catch(() => undefined);
    expect(response).toBeUndefined();
    await expect.poll(all.names).toContain('request');
    expect(all.names()).toContain('attempt');
    server.manager.report(...rest('acme/main'));
    await expect.poll(quiet.names).toContain('cooldown');
    expect(quiet.names()).not.toContain('attempt');
    expect(quiet.names()).not.toContain('request');
  });

  it('says now and then that it is there', async () => {
    const followed = await follow(await ownServer({ streams: { heartbeatMs: 5 } }));
    await expect.poll(() => followed.text()).toContain('\n\n: here\n\n: here\n\n');
  });

  it('ends with the gateway, which then begins no other', async () => {
    const server = await ownServer();
    const followed = await follow(server);
    server.close();
    await followed.closed;
    const refused = await server.ask('/events');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
  });
});

/** An observation that says what it is told to. */
function scripted() {
  const listeners = new Set<(event: ObservedEvent) => void>();
  let id = 0;
  const observation: Observation = {
    slotMs: 1_000,
    series: () => [],
    events: () => [],
    follow: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    metricsText: async () => '',
    close: () => {},
  };
  const tell = (text: string): void => {
    id += 1;
    const event = { at: id, message: text, fix: '' };
    for (const listener of listeners) listener({ id, name: 'degraded', event });
  };
  return { observation, tell, listeners };
}

describe('a reader', () => {
  it('that does not read is cut, and the others are not', async () => {
    const { observation, tell } = scripted();
    const server = await ownServer({ observation, streams: { maxBacklogBytes: 262_144 } });
    const [slow, quick] = [await follow(server), await follow(server)];
    slow.response.pause();
    let told = 0;
    const flood = async (): Promise<void> => {
      while (!slow.response.destroyed && told < 400) {
        for (let count = 0; count < 4; count += 1) tell('x'.repeat(50_000));
        told += 4;
        await expect.poll(() => quick.names().length, { interval: 1 }).toBe(told);
      }
    };
    // What lies in the buffers of the kernel comes first; then the cut.
    const cut = slow.closed.then(() => true);
    await flood();
    slow.response.resume();
    await expect(cut).resolves.toBe(true);
    expect(slow.names().length).toBeLessThan(told);
    tell('last');
    await expect.poll(() => quick.text()).toContain('"message":"last"');
  });

  it('that goes away is forgotten, and with the last of them the listening', async () => {
    const { observation, listeners } = scripted();
    const server = await ownServer({ observation });
    const [one, two] = [await follow(server), await follow(server)];
    expect(listeners.size).toBe(1);
    one.response.destroy();
    two.response.destroy();
    await expect.poll(() => listeners.size).toBe(0);
    await follow(server);
    expect(listeners.size).toBe(1);
  });

  it('is refused where there are too many', async () => {
    const { observation } = scripted();
    const server = await ownServer({ observation });
    for (let count = 0; count < 100; count += 1) await follow(server);
    const refused = await server.ask('/events');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
  });
});
