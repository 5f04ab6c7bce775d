/** Unmodified programs in other languages, and SDKs, through the real gateway process. */
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { TOKENS, startGateway } from '../../scripts/gateway-process.mjs';
import { startGatedProvider } from './gated-provider.js';

const PYTHON = process.env['PYTHON'] ?? 'python3';
const CURL = process.env['CURL'] ?? 'curl';
const CANARY = 'canary-71c0de';
const DEAD = `${CANARY}-dead`;
const GOOD = `${CANARY}-good`;
const UPLOAD_BYTES = 48 * 65_536;

const file = (name: string): string => fileURLToPath(new URL(`programs/${name}`, import.meta.url));

type Mode = 'answer' | 'stream' | 'upload';
type Api = 'openai' | 'anthropic';

interface Program {
  readonly name: string;
  readonly api: Api;
  /** Its command line, and what it reads its address and key from. */
  start(mode: Mode, origin: string): { readonly words: readonly string[]; readonly env?: NodeJS.ProcessEnv };
}

const CHAT = '/openai/v1/chat/completions';

function python(client: string): Program {
  return {
    name: `Python, ${client}`,
    api: 'openai',
    start: (mode, origin) => ({
      words: [PYTHON, file('call.py'), client, CHAT, mode],
      env: { API_URL: origin, API_KEY: TOKENS.use },
    }),
  };
}

const CURL_BODIES: Readonly<Record<Mode, readonly string[]>> = {
  answer: ['--json', '{"model":"m"}'],
  stream: ['--json', '{"model":"m","stream":true}'],
  // From a pipe its length is not known, so that it goes in chunks.
  upload: ['-X', 'POST', '-T', '-'],
};

const curl: Program = {
  name: 'curl',
  api: 'openai',
  start: (mode, origin) => ({
    words: [
      ...[CURL, '-sS', '-N', '--fail-with-body', '-H', `Authorization: Bearer ${TOKENS.use}`],
      '-w',
      'status %{http_code} by %header{x-keymux-key}\\n%{stderr}refused with %{http_code}, again in %header{retry-after} s\\n',
      ...CURL_BODIES[mode],
      `${origin}${CHAT}`,
    ],
  }),
};

const sdks: readonly Program[] = [
  {
    name: "OpenAI's SDK for Node",
    api: 'openai',
    start: (mode, origin) => ({
      words: [process.execPath, file('openai-sdk.mjs'), mode],
      env: { OPENAI_BASE_URL: `${origin}/openai/v1`, OPENAI_API_KEY: TOKENS.use },
    }),
  },
  {
    name: "Anthropic's SDK for Node",
    api: 'anthropic',
    start: (mode, origin) => ({
      words: [process.execPath, file('anthropic-sdk.mjs'), mode],
      env: { ANTHROPIC_BASE_URL: `${origin}/anthropic`, ANTHROPIC_API_KEY: TOKENS.use },
    }),
  },
];

const hasRequests = spawnSync(PYTHON, ['-c', 'import requests']).status === 0;
const raw = [python('urllib'), ...(hasRequests ? [python('requests')] : []), curl];
const programs = [...raw, ...sdks];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program that has nothing in its environment but what it is told. */
function run(
  program: Program,
  mode: Mode,
  origin: string,
  onOutput?: (stdout: string) => void,
): Promise<Ended> {
  const { words, env = {} } = program.start(mode, origin);
  const [command = '', ...args] = words;
  const { PATH, HOME } = process.env;
  const child = spawn(command, args, { env: { PATH, HOME, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => onOutput?.((stdout += text)));
  if (onOutput === undefined) child.stdout.on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => {}).end(mode === 'upload' ? Buffer.alloc(UPLOAD_BYTES, 'x') : '');
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code) => {
      expect(stdout + stderr).not.toContain(CANARY);
      resolve({ code, stdout, stderr });
    });
  });
}

const configFor = (baseUrls: Readonly<Record<Api, string>>) => ({
  store: { type: 'memory' },
  providers: Object.fromEntries(
    Object.entries(baseUrls).map(([api, baseUrl]) => [
      api,
      {
        baseUrl,
        keys: [
          { id: 'dead', value: 'env:DEAD', priority: 1 },
          { id: 'good', value: 'env:GOOD', priority: 2 },
        ],
      },
    ]),
  ),
});

const NOWHERE = 'http://127.0.0.1:9';
let gateway: Awaited<ReturnType<typeof startGateway>>;

beforeAll(async () => {
  gateway = await startGateway({
    config: configFor({ openai: NOWHERE, anthropic: NOWHERE }),
    env: { DEAD, GOOD },
  });
});

afterAll(async () => {
  await gateway.close();
  expect(gateway.output()).not.toContain(CANARY);
  for (const token of Object.values(TOKENS)) expect(gateway.output()).not.toContain(token);
});

async function order(path: string): Promise<void> {
  const { status } = await fetch(`${gateway.origin}/-/api/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKENS.admin}`, 'content-type': 'application/json' },
    body: '{}',
  });
  expect(`${path} ${status}`).toBe(`${path} 200`);
}

/** The gateway in front of one provider with two keys, the dead one first; it knows nothing bad of either. */
async function gatewayFor(api: Api, baseUrl: string): Promise<string> {
  const config = configFor({ openai: NOWHERE, anthropic: NOWHERE, [api]: baseUrl });
  writeFileSync(join(gateway.folder, 'keymux.config.json'), JSON.stringify(config));
  await order('reload');
  for (const key of ['dead', 'good']) await order(`keys/${api}/${key}/reset`);
  return gateway.origin;
}

async function simulated(api: Api, goodIsOut = false): Promise<Simulator> {
  const refused = refuse(429, { retryAfterSeconds: 60 });
  const simulator = await startSimulator({
    flavour: api,
    keys: {
      [DEAD]: { name: 'dead', always: refused },
      [GOOD]: { name: 'good', ...(goodIsOut ? { always: refused } : {}) },
    },
  });
  onTestFinished(() => simulator.close());
  return simulator;
}

/** Which key got which status; no token of ours came along. */
function seen({ requests }: Simulator): string[] {
  expect(JSON.stringify(requests)).not.toContain('kmx_');
  return requests.map(({ key, status }) => `${key} ${status}`);
}

const openaiChunk = (content: string): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content } }] })}\n\n`;
const named = (data: { readonly type: string }): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const anthropicDelta = (text: string): string =>
  named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } } as { type: string });

/** The first words, the last words, and how a whole stream ends. */
const STREAMS: Readonly<Record<Api, readonly string[]>> = {
  openai: [openaiChunk('the first words'), openaiChunk('the last words'), 'data: [DONE]\n\n'],
  anthropic: [
    anthropicDelta('the first words'),
    anthropicDelta('the last words'),
    named({ type: 'message_stop' }),
  ],
};

describe.each(programs)('$name', (program) => {
  it('is answered with the next key where one is refused', async () => {
    const simulator = await simulated(program.api);
    const origin = await gatewayFor(program.api, simulator.origin);
    const { code, stdout } = await run(program, 'answer', origin);
    expect(seen(simulator)).toEqual(['dead 429', 'good 200']);
    expect(stdout).toContain(`status 200 by ${program.api}/good`);
    expect(stdout).toContain('served by good');
    expect(code).toBe(0);
  });

  it('gets a stream as it comes, with the next key where one is refused', async () => {
    const provider = await startGatedProvider(DEAD, STREAMS[program.api]);
    const origin = await gatewayFor(program.api, provider.origin);
    let beforeTheGate: string | undefined;
    const { code, stdout } = await run(program, 'stream', origin, (soFar) => {
      if (beforeTheGate !== undefined || !soFar.includes('the first words')) return;
      beforeTheGate = soFar;
      provider.open();
    });
    expect(provider.keys).toEqual([DEAD, GOOD]);
    expect(beforeTheGate).not.toContain('the last words');
    expect(stdout).toContain('the last words');
    expect(code).toBe(0);
  });

  it('is told by the status that every key is out, and when one returns', async () => {
    const simulator = await simulated(program.api, true);
    const origin = await gatewayFor(program.api, simulator.origin);
    const { code, stderr } = await run(program, 'answer', origin);
    expect(seen(simulator)).toEqual(['dead 429', 'good 429']);
    expect(code).not.toBe(0);
    const [, seconds] = /refused with 429, again in (\d+) s/.exec(stderr) ?? [];
    // As stated, and a little later, so that not everybody comes back at once.
    expect(Number(seconds)).toBeGreaterThan(30);
    expect(Number(seconds)).toBeLessThanOrEqual(67);
  });
});

describe.each(raw)('$name', (program) => {
  it('sends a body whose length it does not know', async () => {
    const simulator = await startSimulator({ keys: { [DEAD]: { name: 'dead' }, [GOOD]: { name: 'good' } } });
    onTestFinished(() => simulator.close());
    const origin = await gatewayFor(program.api, simulator.origin);
    const { code, stdout } = await run(program, 'upload', origin);
    expect(stdout).toContain(`status 200 by ${program.api}/dead`);
    expect(code).toBe(0);
    expect(simulator.requests.map(({ bodyBytes }) => bodyBytes)).toEqual([UPLOAD_BYTES]);
  });
});

describe('a program without a token of the gateway', () => {
  it.each([
    { what: 'no key', words: [] },
    { what: 'the key of somebody else', words: ['-H', 'Authorization: Bearer sk-of-somebody-else'] },
  ])('is refused with $what, and nothing is sent to the provider', async ({ words }) => {
    const simulator = await simulated('openai');
    const origin = await gatewayFor('openai', simulator.origin);
    const asking: Program = {
      ...curl,
      start: () => ({
        words: [CURL, '-sS', '-w', '\n%{http_code}', ...words, `${origin}/openai/v1/models`],
      }),
    };
    const { stdout } = await run(asking, 'answer', origin);
    expect(stdout).toMatch(/\n401$/);
    expect(simulator.requests).toEqual([]);
  });
});
