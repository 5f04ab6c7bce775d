import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { refuse, silence } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CANARY, Project } from './keymux-process.js';
import type { Running } from './keymux-process.js';

const configFor = (baseUrl: string): string => `
store: { type: memory }
providers:
  acme:
    baseUrl: ${baseUrl}
    auth: { in: header, name: x-api-key }
`;

function project(baseUrl = 'http://127.0.0.1:9', files: Record<string, string> = {}): Project {
  return new Project(
    { 'keymux.config.yaml': configFor(baseUrl), ...files },
    { ACME_API_KEY: `${CANARY}-one`, ACME_API_KEY_2: `${CANARY}-two` },
  );
}

interface Served {
  readonly origin: string;
  readonly running: Running;
  /** What it said so far. */
  said(): string;
}

async function serve(where: Project, ...args: readonly string[]): Promise<Served> {
  const running = where.start(['serve', '--port', '0', ...args]);
  let said = '';
  running.process.stderr?.on('data', (text: string) => (said += text));
  while (!/answers for:/.test(said)) {
    await Promise.race([once(running.process.stderr ?? running.process, 'data'), running.ended]);
    if (running.process.exitCode !== null) throw new Error(said);
  }
  const origin = /listens on (\S+)/.exec(said)?.[1] ?? '';
  return { origin, running, said: () => said };
}

function tokenOf(where: Project, role: string): string {
  return (
    new RegExp(`^${role}=(.+)$`, 'm').exec(readFileSync(where.path('state/gateway-tokens'), 'utf8'))?.[1] ??
    ''
  );
}

function occupied(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  return once(server, 'listening').then(() => (server.address() as net.AddressInfo).port);
}

describe('keymux serve', () => {
  it('says where it is and where its tokens are, never which, and answers with a key that works', async () => {
    const simulator = await startSimulator({
      auth: { in: 'header', name: 'x-api-key' },
      keys: {
        [`${CANARY}-one`]: { name: 'one', always: refuse('rejected') },
        [`${CANARY}-two`]: { name: 'two' },
      },
    });
    onTestFinished(() => simulator.close());
    const where = project(simulator.origin);
    const { origin, running, said } = await serve(where);
    expect(said()).toContain(`dashboard: ${origin}/-/dashboard/`);
    expect(said()).toContain(`tokens: ${where.path('state/gateway-tokens')}`);
    expect(said()).toContain('answers for: /acme');
    expect(statSync(where.path('state/gateway-tokens')).mode & 0o777).toBe(0o600);
    const answer = await fetch(`${origin}/acme/v1/x`, { headers: { 'x-api-key': tokenOf(where, 'use') } });
    expect(simulator.requests.map(({ key, status }) => [key, status])).toEqual([
      ['one', 401],
      ['two', 200],
    ]);
    expect([answer.status, answer.headers.get('x-keymux-key')]).toEqual([200, 'acme/2']);
    expect(JSON.stringify(simulator.requests)).not.toContain('kmx_');
    expect((await fetch(`${origin}/acme/v1/x`)).status).toBe(401);
    running.process.kill('SIGTERM');
    const { code, stdout, stderr } = await running.ended;
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).not.toContain('kmx_');
    expect(stderr).not.toContain(CANARY);
  });

  it('opens what is below /-/ to the roles that may', async () => {
    const where = project();
    const { origin } = await serve(where);
    const status = async (path: string, role?: string): Promise<number> => {
      const headers = role === undefined ? {} : { authorization: `Bearer ${tokenOf(where, role)}` };
      return (await fetch(origin + path, { headers })).status;
    };
    expect(await status('/-/health')).toBe(200);
    expect(await status('/-/metrics')).toBe(401);
    expect(await status('/-/metrics', 'use')).toBe(403);
    expect(await status('/-/metrics', 'read')).toBe(200);
    expect(await status('/-/metrics', 'admin')).toBe(200);
    expect(await status('/acme/x', 'admin')).toBe(403);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('lets answers under way run out at %s', async (signal) => {
    let finish = (): void => {};
    const provider = http.createServer((_request, response) => {
      response.write('first ');
      finish = () => void response.end('last');
    });
    provider.listen(0, '127.0.0.1');
    await once(provider, 'listening');
    onTestFinished(() => void provider.close());
    const where = project(`http://127.0.0.1:${(provider.address() as net.AddressInfo).port}`);
    const { origin, running, said } = await serve(where);
    const answer = await fetch(`${origin}/acme/x`, { headers: { 'x-api-key': tokenOf(where, 'use') } });
    running.process.kill(signal);
    await expect.poll(said).toContain('ending; requests under way get 10 s');
    await expect(fetch(`${origin}/-/health`)).rejects.toThrow('fetch failed');
    finish();
    expect(await answer.text()).toBe('first last');
    expect((await running.ended).code).toBe(0);
  });

  it('cuts off what does not end in time, and at once at a second signal', async () => {
    const simulator = await startSimulator({
      auth: { in: 'header', name: 'x-api-key' },
      keys: { [`${CANARY}-one`]: { name: 'one', always: silence() } },
    });
    onTestFinished(() => simulator.close());
    const where = project(simulator.origin);
    for (const [grace, again, code] of [
      ['0.1', false, 0],
      ['600', true, 1],
    ] as const) {
      const { origin, running, said } = await serve(where, '--grace', grace);
      const before = simulator.requests.length;
      const lost = fetch(`${origin}/acme/x`, { headers: { 'x-api-key': tokenOf(where, 'use') } }).catch(
        () => 'lost',
      );
      await expect.poll(() => simulator.requests.length).toBeGreaterThan(before);
      running.process.kill('SIGTERM');
      await expect.poll(said).toContain('ending;');
      if (again) running.process.kill('SIGTERM');
      expect((await running.ended).code).toBe(code);
      await lost;
    }
  });

  it('serves HTTPS', async () => {
    const { key, cert } = createCertificate();
    const where = project('http://127.0.0.1:9', { 'tls.key': key, 'tls.pem': cert });
    const { origin } = await serve(
      where,
      '--tls-cert',
      'tls.pem',
      '--tls-key',
      'tls.key',
      '--host',
      '0.0.0.0',
    );
    const [response] = (await once(https.get(`${origin}/-/health`, { ca: cert }), 'response')) as [
      http.IncomingMessage,
    ];
    expect(response.statusCode).toBe(200);
    response.resume();
  });

  it('answers to further names, and warns of a file that others may read', async () => {
    const where = project('http://127.0.0.1:9', { tokens: `kmx_read_${'x'.repeat(32)}` });
    writeFileSync(where.path('open'), readFileSync(where.path('tokens')), { mode: 0o644 });
    const { origin, said } = await serve(
      where,
      '--allow-host',
      'a.example',
      '--allow-host',
      'b.example',
      '--token-file',
      'open',
    );
    expect(said()).toContain('tokens: open');
    await expect.poll(said).toContain('Run `chmod 600` on it.');
    for (const [host, status] of [
      ['a.example', 200],
      ['b.example', 200],
      ['c.example', 421],
    ] as const) {
      const [response] = (await once(http.get(`${origin}/-/health`, { headers: { host } }), 'response')) as [
        http.IncomingMessage,
      ];
      expect(response.statusCode).toBe(status);
      response.resume();
    }
  });

  it.each([
    ['to listen beyond this machine in the open', ['--host', '0.0.0.0'], '--insecure-listen'],
    ['a certificate without its key', ['--tls-cert', 'x'], '--tls-key'],
    ['a key without its certificate', ['--tls-key', 'x'], '--tls-cert'],
    ['files that are not there', ['--tls-cert', 'x', '--tls-key', 'y'], 'x cannot be read (ENOENT)'],
    ['a port that is none', ['--port', '99999'], 'from 0 to 65535'],
    ['a grace that is none', ['--grace', 'long'], 'number of seconds'],
  ])('refuses %s', async (_what, args, said) => {
    const where = project();
    const { code, stderr } = await where.keymux(['serve', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(said);
    expect(stderr).toContain('fix: ');
    expect(() => statSync(where.path('state/gateway-tokens'))).toThrow('ENOENT');
  });

  it('says that the port is taken', async () => {
    const port = await occupied();
    const { code, stderr } = await project().keymux(['serve', '--port', String(port)]);
    expect(code).toBe(2);
    expect(stderr).toContain(`Another program listens on port ${port} of 127.0.0.1.`);
    expect(stderr).toContain('--port');
  });

  it('refuses tokens that are none', async () => {
    const { code, stderr } = await project().keymux(['serve'], { KEYMUX_GATEWAY_TOKENS: `${CANARY}-token` });
    expect(code).toBe(3);
    expect(stderr).toContain('KEYMUX_GATEWAY_TOKENS holds something else than a token (entry 1).');
  });

  it('says that there is no key yet', async () => {
    const running = new Project().start(['serve', '--port', '0']);
    const stderr = running.process.stderr;
    let said = '';
    stderr?.on('data', (text: string) => (said += text));
    await expect.poll(() => said, { timeout: 20_000 }).toContain('There is no key of any provider yet.');
    running.process.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
  });
});
