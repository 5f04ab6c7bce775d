import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ASK, ENTRY, PRELOAD, stage } from '../process/programs.js';

const clients = createRequire(new URL('../../clients/package.json', import.meta.url));
const major = Number(process.versions.node.split('.')[0]);
// undici 8 needs Node 22.
const undicis = ['undici5', 'undici6', 'undici7', 'undici8'].slice(0, major >= 22 ? 4 : 3);

const ORDERS = ['keymux first', 'keymux last'] as const;
const WAYS = ['fetch', 'node:http', 'axios'] as const;
const FAILOVER = ['limited', 'revoked', 'good'];
const GOOD = [200, 'good'];

/** What the program printed, and the keys that the provider saw. */
type Report = Readonly<Record<string, unknown>> & { readonly seen: readonly (string | undefined)[] };

async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Report> {
  const { run: start, simulator } = await stage();
  const file = fileURLToPath(new URL(program, import.meta.url));
  const extra = {
    KEYMUX_PRELOAD: pathToFileURL(PRELOAD).href,
    KEYMUX_ENTRY: pathToFileURL(ENTRY).href,
    NODE_NO_WARNINGS: '1',
    ...env,
  };
  const { stdout, stderr, code } = await start([file, ...args], extra);
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
  const seen = simulator.requests.map(({ key }) => key);
  return { ...(JSON.parse(stdout) as Record<string, unknown>), seen };
}

const runs = new Map<string, Promise<Report>>();

/** The part of one client in a program that asks in every way, one after the other; each order is run once. */
async function partOf(program: string, order: string, way: (typeof WAYS)[number]): Promise<Report> {
  const name = `${program} ${order}`;
  const whole = runs.get(name) ?? run(program, [order]);
  runs.set(name, whole);
  const { seen, ...report } = await whole;
  const part = report[way] as Readonly<Record<string, unknown>>;
  // A request without a key follows each part.
  const parts = seen
    .map((key) => key ?? '|')
    .join()
    .split('|');
  const keys = (parts[WAYS.indexOf(way)] ?? '').split(',').filter((key) => key !== '');
  const rest = (parts[WAYS.length] ?? '').split(',').filter((key) => key !== '');
  return { ...report, ...part, seen: keys, rest };
}

function each<Third>(thirds: readonly Third[]): [(typeof ORDERS)[number], Third][] {
  return ORDERS.flatMap((order) => thirds.map((third): [(typeof ORDERS)[number], Third] => [order, third]));
}

describe('nock', () => {
  it.each(each(WAYS))('mocks, and what it lets through fails over: %s, %s', async (order, way) => {
    const { seen, result, isDone, mocked } = await partOf('nock.mjs', order, way);
    expect({ seen, result, isDone }).toEqual({
      seen: FAILOVER,
      result: [[200, 'from nock'], GOOD, [200, 'from nock']],
      isDone: true,
    });
    for (const key of mocked as string[]) expect(key).toMatch(/^key-/);
  });

  it.each(each(WAYS))('keeps requests from the network, and lets go: %s, %s', async (order, way) => {
    const { seen, beyond, restored, first } = await run('nock-alone.mjs', [order, way]);
    expect(beyond).toBe('refused');
    // Where keymux sees what nock answers, it asks again.
    expect([
      [429, 'refused'],
      [200, 'allowed'],
    ]).toContainEqual(first);
    // nock puts back what it found, and with it takes away what keymux wrapped around it later: no failover then.
    const isTakenAway = order === 'keymux last' && way !== 'fetch';
    expect(restored).toEqual(isTakenAway ? [expect.any(Number), null] : GOOD);
    expect(seen.at(-1)).toBe(isTakenAway ? seen[0] : 'good');
  });
});

describe('msw', () => {
  it.each(each(WAYS))('mocks, and what it lets through fails over: %s, %s', async (order, way) => {
    const { seen, rest, result, closed, mocked } = await partOf('msw.mjs', order, way);
    expect({ seen, rest, result, closed }).toEqual({
      seen: FAILOVER,
      rest: WAYS.map(() => 'good'),
      result: [[200, 'from msw'], GOOD, [200, 'from msw']],
      closed: GOOD,
    });
    for (const key of mocked as string[]) expect(key).toMatch(/^key-/);
  });
});

describe('MockAgent', () => {
  it.each(each(undicis))('mocks, and what it lets through fails over: %s, %s', async (order, name) => {
    const { seen, result, beyond } = await run('mock-agent.mjs', [order, name]);
    expect({ seen, result, beyond }).toEqual({
      seen: FAILOVER,
      result: [[200, 'from the mock'], [200, 'from the mock'], GOOD],
      beyond: 'MockNotMatchedError',
    });
  });
});

describe('OpenTelemetry', () => {
  it.each(each(WAYS))('has its spans, and requests fail over: %s, %s', async (order, way) => {
    const { seen, answer, isKept, spans, haveParent, text } = await partOf('open-telemetry.mjs', order, way);
    expect({ seen, answer, isKept, haveParent }).toEqual({
      seen: FAILOVER,
      answer: GOOD,
      isKept: true,
      haveParent: true,
    });
    // Told by its diagnostics channels: one for each attempt. Around keymux: one for the request. Under keymux: one for
    // each attempt, of which the application's own request alone is told of an answer.
    const isUnder = order === 'keymux last' && way !== 'fetch';
    const expected = way === 'fetch' ? [200, 401, 429] : isUnder ? [200, null, null] : [200];
    expect((spans as unknown[]).sort()).toEqual(expected);
    expect(text).not.toMatch(/key-(limited|revoked|good)/);
  });
});

describe('tsx', () => {
  const TSX = pathToFileURL(clients.resolve('tsx')).href;
  const KEYMUX = pathToFileURL(PRELOAD).href;
  const AGENT = `
    import http from 'node:http';
    const key: string | undefined = process.env.ACME_API_KEY;
    const url: string = process.env.ACME_URL!;
    enum Path { Quote = '/quote' }
    async function viaFetch(): Promise<string> {
      const response = await fetch(url + Path.Quote, { headers: { 'x-api-key': key! } });
      return (await response.json() as { key: string }).key;
    }
    function viaHttp(): Promise<string> {
      return new Promise((resolve) => {
        http.get(url + Path.Quote, { headers: { 'x-api-key': key! } }, (answer) => {
          let text = '';
          answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
          answer.on('end', () => resolve(JSON.parse(text).key));
        });
      });
    }
    console.log(await viaFetch(), await viaHttp());`;
  const RESULT = { stdout: 'good good\n', stderr: '', code: 0 };

  it.each([
    ['tsx first', ['--import', TSX, '--import', KEYMUX, 'agent.mts'], {}],
    ['keymux first', ['--import', KEYMUX, '--import', TSX, 'agent.mts'], {}],
    ['the tsx command, keymux in NODE_OPTIONS', ['TSX', 'agent.mts'], { NODE_OPTIONS: `--import ${KEYMUX}` }],
    ['the tsx command with --import', ['TSX', '--import', KEYMUX, 'agent.mts'], {}],
    ['the tsx command with --require', ['TSX', '--require', PRELOAD, 'agent.mts'], {}],
  ])('runs TypeScript: %s', async (_how, args, env) => {
    const { run: start, write, simulator } = await stage();
    write('agent.mts', AGENT);
    const command = fileURLToPath(
      new URL('./dist/cli.mjs', pathToFileURL(clients.resolve('tsx/package.json'))),
    );
    expect(
      await start(
        args.map((arg) => (arg === 'TSX' ? command : arg)),
        env,
      ),
    ).toEqual(RESULT);
    expect(simulator.requests.map(({ key }) => key)).toEqual([...FAILOVER, 'good']);
  });

  it('hands both on to child processes', async () => {
    const { run: start, write } = await stage({ store: 'sqlite' });
    write('child.cjs', ASK);
    write(
      'parent.mts',
      `import { execFileSync } from 'node:child_process';
       const out: Buffer = execFileSync(process.execPath, ['child.cjs']);
       process.stdout.write(out);`,
    );
    expect(await start(['--import', TSX, '--import', KEYMUX, 'parent.mts'])).toEqual({
      stdout: '200 good\n',
      stderr: '',
      code: 0,
    });
  });
});

/** Tunnels by CONNECT, and forwards what comes as a whole URL. */
async function startProxy(): Promise<{ url: string; count: () => number }> {
  let count = 0;
  const sockets = new Set<net.Socket>();
  const server = http.createServer((request, response) => {
    count += 1;
    const { method, headers } = request;
    const onward = http.request(request.url ?? '', { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  server.on('connection', (socket) => sockets.add(socket));
  server.on('connect', ({ url = '' }: http.IncomingMessage, socket: net.Socket) => {
    count += 1;
    const [host, port] = url.split(':');
    const target = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      socket.pipe(target).pipe(socket);
    });
    for (const end of [socket, target]) end.on('error', () => {});
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, count: () => count };
}

describe('agents and proxies', () => {
  it.each(each(['https-proxy-agent', ...undicis]))(
    'fail over through a proxy: %s, %s',
    async (order, how) => {
      const proxy = await startProxy();
      const { seen, answer } = await run('proxies.mjs', [order, how], { PROXY: proxy.url });
      expect({ seen, answer }).toEqual({ seen: FAILOVER, answer: GOOD });
      expect(proxy.count()).toBeGreaterThan(0);
    },
  );

  it.each(each(['a global agent', 'a forced agent']))('fail over through %s, %s', async (order, how) => {
    const { seen, answer, count } = await run('proxies.mjs', [order, how]);
    expect({ seen, answer }).toEqual({ seen: FAILOVER, answer: GOOD });
    expect(count).toBe(3);
  });
});
