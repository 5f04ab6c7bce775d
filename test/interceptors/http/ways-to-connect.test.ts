/** Requests of node:http that reach their connection in a way of their own, and failures within keymux. */
import http from 'node:http';
import net from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { KeyScript } from '#keymux/testing/script-key.js';
import { redirect, refuse } from '#keymux/testing/script.js';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed } from '../managed.js';
import { answerTo, textOf } from './requests.js';

const headers = bearer();
const FAILOVER = ['key-limited', 'key-revoked', 'key-good'];

async function statusOf(request: http.ClientRequest): Promise<number | undefined> {
  const answer = await answerTo(request);
  await textOf(answer);
  return answer.statusCode;
}

/** Asks for a connection in the way of Node 0.10, which Node still understands. */
class OldAgent extends http.Agent {
  addRequest(request: http.ClientRequest, options: { host: string; port: number }): void {
    const { addRequest } = http.Agent.prototype as unknown as {
      addRequest: (this: http.Agent, request: http.ClientRequest, host: string, port: number) => void;
    };
    addRequest.call(this, request, options.host, options.port);
  }
}

describe('a request', () => {
  it('fails over through an agent that asks by host and port alone', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const agent = new OldAgent() as unknown as http.Agent;
    expect(await statusOf(http.get(origin, { agent, headers }))).toBe(200);
    expect(seen()).toEqual(FAILOVER);
  });

  it('keeps its key where it goes through a socket that the application names and connects', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const port = Number(new URL(origin).port);
    const options = { socketPath: '/nowhere', createConnection: () => net.connect(port, '127.0.0.1') };
    expect(await statusOf(http.get(origin, { ...options, headers }))).toBe(429);
    expect(seen()).toEqual([CAPTURED]);
  });

  it.each([
    ['an agent', {}],
    ['no agent', { createConnection: net.connect as never }],
  ])('goes out as it is, with %s, where keymux fails before it', async (_what, options) => {
    const { origin, manager, seen } = await managed({ keys: BAD_BAD_GOOD });
    vi.spyOn(manager.origins, 'find').mockImplementation(() => {
      throw new Error('a bug');
    });
    const { hostname: host, port } = new URL(origin);
    expect(await statusOf(http.get({ host, port, headers, ...options }))).toBe(429);
    expect(seen()).toEqual([CAPTURED]);
  });

  it('is refused without a body where it asked for none', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: { always: refuse(401) } } });
    await statusOf(http.get(origin, { headers }));
    const answer = await answerTo(http.request(origin, { method: 'HEAD', headers }).end());
    expect(answer.statusCode).toBeGreaterThanOrEqual(400);
    expect(await textOf(answer)).toBe('');
  });

  it('fails over where its idle time is told without a listener', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const agent = new http.Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const request = http.get(origin, { agent, headers });
    const answer = await answerTo(request);
    expect(request.setTimeout(10_000)).toBe(request);
    expect(request.socket?.timeout).toBe(10_000);
    await textOf(answer);
    expect(seen()).toEqual(FAILOVER);
  });
});

describe('the headers of an answer', () => {
  it('keep their order and their names where nothing is to be changed', async () => {
    const always = redirect('/there');
    const { origin } = await managed({ keys: { [CAPTURED]: { always } satisfies KeyScript } });
    const answer = await answerTo(http.get(origin, { headers }));
    answer.resume();
    const names = answer.rawHeaders.filter((_text, index) => index % 2 === 0);
    expect(names.map((name) => name.toLowerCase())).toContain('location');
    expect(names.at(-1)?.toLowerCase()).not.toBe('location');
    expect(answer.rawHeaders).toContain('/there');
  });
});
