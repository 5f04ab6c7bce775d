import { Agent } from 'node:http';
import type { ClientRequest } from 'node:http';
import { describe, expect, it } from 'vitest';
import { agentOrigin, isAgentOf, statedOrigin } from '#keymux/interceptors/http-destination.js';

function request(host: string, protocol = 'http:', agent?: object): ClientRequest {
  return { host, protocol, agent } as unknown as ClientRequest;
}

describe('statedOrigin', () => {
  it.each([
    [['http://API.example'], 'api.example', 'http://api.example'],
    [['http://api.example:8080/path'], 'api.example', 'http://api.example:8080'],
    [[new URL('http://[::1]:8080/')], '::1', 'http://[::1]:8080'],
    [['http://api.example', { port: 81 }], 'api.example', 'http://api.example:81'],
    [['http://api.example', { hostname: 'other.example' }], 'other.example', 'http://other.example'],
    [['http://api.example:81', { port: undefined }], 'api.example', 'http://api.example'],
    [[{ host: 'api.example', port: '80' }], 'api.example', 'http://api.example'],
    [
      [{ host: 'ignored.example', hostname: 'api.example', defaultPort: 81 }],
      'api.example',
      'http://api.example:81',
    ],
    [[{}], 'localhost', 'http://localhost'],
    [[() => {}], 'localhost', 'http://localhost'],
  ])('reads %j', (args, host, expected) => {
    expect(statedOrigin(request(host), 'http:', args)).toBe(expected);
  });

  it('takes the port of the protocol, or of the agent', () => {
    expect(statedOrigin(request('a.example', 'https:'), 'https:', [{ host: 'a.example' }])).toBe(
      'https://a.example',
    );
    const agent = { defaultPort: 8443 };
    expect(statedOrigin(request('a.example', 'https:', agent), 'https:', [{ host: 'a.example' }])).toBe(
      'https://a.example:8443',
    );
  });

  it.each([
    [[{ socketPath: '/run/x.sock' }], 'localhost'],
    [['http://api.example'], 'another.example'],
    [[{ host: 'api.example', port: {} }], 'api.example'],
  ])('gives none for %j', (args, host) => {
    expect(statedOrigin(request(host), 'http:', args)).toBeUndefined();
  });
});

describe('agentOrigin', () => {
  it('lets the options of the agent win', () => {
    const agent = new Agent({ port: 81, host: 'other.example' });
    expect(agentOrigin(request('api.example'), { host: 'api.example', port: 80 }, agent)).toBe(
      'http://other.example:81',
    );
  });

  it('gives none for a Unix socket', () => {
    const options = { host: 'api.example', port: 80 };
    expect(
      agentOrigin(request('api.example'), { ...options, socketPath: '/x' }, new Agent()),
    ).toBeUndefined();
    const agent = new Agent({ socketPath: '/x' } as object);
    expect(agentOrigin(request('api.example'), options, agent)).toBeUndefined();
    expect(agentOrigin(request('api.example'), { host: 7 }, new Agent())).toBeUndefined();
  });
});

describe('isAgentOf', () => {
  it('is false only where the call names another agent', () => {
    const [one, other] = [new Agent(), new Agent()];
    expect(isAgentOf(['http://x', { agent: one }], one)).toBe(true);
    expect(isAgentOf([new URL('http://x'), () => {}], one)).toBe(true);
    expect(isAgentOf([{ agent: false }], one)).toBe(true);
    expect(isAgentOf([{ agent: other }], one)).toBe(false);
  });
});
