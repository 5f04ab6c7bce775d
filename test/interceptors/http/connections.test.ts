/** Clients listen to the connection that a request told them of, so that nobody else may get it meanwhile. */
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { refuse } from '#keymux/testing/script.js';
import { CAPTURED, bearer, managed, managerFor } from '../managed.js';
import { answerTo, serve, textOf } from './requests.js';

function keepAliveAgent(scheduling: 'fifo' | 'lifo'): http.Agent {
  const agent = new http.Agent({ keepAlive: true, scheduling });
  onTestFinished(() => agent.destroy());
  return agent;
}

interface Connections {
  /** That the application was told of. */
  readonly told: Socket;
  /** Over which the answer came. */
  readonly used: Socket;
}

async function connectionsOf(request: http.ClientRequest): Promise<Connections> {
  const [told] = (await once(request, 'socket')) as [Socket];
  const answer = await answerTo(request);
  const used = answer.socket;
  await textOf(answer);
  return { told, used };
}

describe('a request that is repeated', () => {
  it.each(['lifo', 'fifo'] as const)('stays on its connection, though others are free (%s)', async (how) => {
    let refused = 0;
    const origin = await serve((request, response) => {
      if (request.headers.authorization === bearer().authorization) {
        refused += 1;
        response.writeHead(429, { 'retry-after': '60' });
      }
      response.end('an answer');
    });
    managerFor(origin, [CAPTURED, 'key-good']);
    const agent = keepAliveAgent(how);
    await Promise.all([1, 2, 3].map(() => connectionsOf(http.get(origin, { agent }))));
    const { told, used } = await connectionsOf(http.get(origin, { agent, headers: bearer() }));
    expect(refused).toBe(1);
    expect(used).toBe(told);
  });

  it('after a pause leaves its connection to nobody', async () => {
    const { origin, simulator } = await managed({ keys: { [CAPTURED]: { first: [refuse(503)] } } });
    const agent = keepAliveAgent('lifo');
    const request = http.get(origin, { agent, headers: bearer() });
    const connections = connectionsOf(request);
    const [told] = (await once(request, 'socket')) as [Socket];
    await once(told, 'close');
    const { used } = await connections;
    expect(used).not.toBe(told);
    expect(simulator.requests).toHaveLength(2);
  });
});
