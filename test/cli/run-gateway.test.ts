import { spawnSync } from 'node:child_process';
import { isVirtualKey } from '#keymux/config/virtual-key.js';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BIN, CANARY, Project } from './keymux-process.js';

const PYTHON = process.env['PYTHON'] ?? 'python3';
const NODE = process.execPath;

/** An ordinary program: it knows what OpenAI's SDK knows, a base URL and a key. */
const ASK = `
import json, os, sys, urllib.request, urllib.error
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    data=json.dumps({"model": "m", "messages": []}).encode(),
    headers={"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"},
)
with urllib.request.urlopen(request) as answer:
    print(answer.status, answer.headers["x-keymux-key"])
sys.exit(7)
`;

const configFor = (baseUrl: string): string => `
store: { type: memory }
providers:
  openai:
    baseUrl: ${baseUrl}
    keys: [{ id: dead, value: env:FIRST_KEY }, { id: good, value: "file:./good.key" }]
  acme:
    baseUrl: ${baseUrl}
    auth: { in: query, name: apikey }
  alpha_vantage: { baseUrl: ${baseUrl} }
  kraken: { baseUrl: ${baseUrl}, keys: [{ id: main, value: env:A_SIGNING_KEY }] }
  strict: { baseUrl: ${baseUrl}, auth: { in: query, name: key }, env: [STRICT_KEY], mode: virtual }
`;

const KEYS = {
  FIRST_KEY: `${CANARY}-dead`,
  OPENAI_API_KEY: `${CANARY}-third`,
  ACME_API_KEYS: `${CANARY}-x,${CANARY}-y`,
  ALPHA_VANTAGE_API_KEY: `${CANARY}-short`,
  A_SIGNING_KEY: `${CANARY}-signed`,
  STRICT_KEY: `${CANARY}-unused`,
  A_URL: `https://example.com/?token=${CANARY}-dead&a=1`,
};

function project(baseUrl = 'http://127.0.0.1:9', files: Record<string, string> = {}): Project {
  return new Project(
    { 'keymux.config.yaml': configFor(baseUrl), 'good.key': `${CANARY}-good`, ...files },
    KEYS,
  );
}

async function simulated(): Promise<Simulator> {
  const simulator = await startSimulator({
    flavour: 'openai',
    keys: {
      [`${CANARY}-dead`]: { name: 'dead', always: refuse('rejected') },
      [`${CANARY}-good`]: { name: 'good' },
    },
  });
  onTestFinished(() => simulator.close());
  return simulator;
}

/** The environment of the program, as it is. */
async function environmentOf(
  where: Project,
  env: Record<string, string> = {},
): Promise<Record<string, string>> {
  const program = 'console.log(JSON.stringify(process.env))';
  const { code, stdout } = await where.keymux(['run', '--gateway', '--', NODE, '-e', program], env);
  expect(code).toBe(0);
  return JSON.parse(stdout) as Record<string, string>;
}

describe('keymux run --gateway', () => {
  it('answers an unmodified Python program with the next key, and passes its exit code on', async () => {
    const simulator = await simulated();
    const { code, stdout, stderr } = await project(simulator.origin).keymux([
      'run',
      '--gateway',
      '--',
      PYTHON,
      '-c',
      ASK,
    ]);
    expect(stderr).not.toContain('Traceback');
    expect(simulator.requests.map(({ key, path, status }) => [key, path, status])).toEqual([
      ['dead', '/v1/chat/completions', 401],
      ['good', '/v1/chat/completions', 200],
    ]);
    expect(stdout).toBe('200 openai/good\n');
    expect(code).toBe(7);
    expect(JSON.stringify(simulator.requests)).not.toContain('keymux');
  });

  it('gives the program no real key, wherever it was', async () => {
    const where = project('http://127.0.0.1:9', {
      '.env': `OPENAI_API_KEY_2=${CANARY}-env\nACME_API_KEY=${CANARY}-z\n`,
    });
    const env = await environmentOf(where);
    expect(JSON.stringify(env)).not.toContain(CANARY);
    expect(isVirtualKey(env['OPENAI_API_KEY'] ?? '')).toBe(true);
    expect(env['FIRST_KEY']).toBe(env['OPENAI_API_KEY']);
    expect(env['OPENAI_API_KEY_2']).toBe(env['OPENAI_API_KEY']);
    expect(env['A_URL']).toBe(`https://example.com/?token=${env['OPENAI_API_KEY']}&a=1`);
    expect(isVirtualKey(env['ACME_API_KEY'] ?? '')).toBe(true);
    expect(env['ACME_API_KEYS']).toBe(env['ACME_API_KEY']);
    expect([env['A_SIGNING_KEY'], env['STRICT_KEY']]).toEqual([undefined, undefined]);
  });

  it('gives other virtual keys to every run, and a token where they could be guessed', async () => {
    const where = project();
    const [one, two] = [await environmentOf(where), await environmentOf(where)];
    expect(one['OPENAI_API_KEY']).not.toBe(two['OPENAI_API_KEY']);
    expect(one['ALPHA_VANTAGE_API_KEY']).toMatch(/^kmx_use_/);
    expect(one['ALPHA_VANTAGE_API_KEY']).toBe(one['KEYMUX_GATEWAY_TOKEN']);
    expect(one['KEYMUX_GATEWAY_TOKEN']).not.toBe(two['KEYMUX_GATEWAY_TOKEN']);
  });

  it('sets the base URLs that SDKs read, for the providers that there are', async () => {
    const env = await environmentOf(project());
    const url = env['KEYMUX_GATEWAY_URL'] ?? '';
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(env).toMatchObject({ OPENAI_BASE_URL: `${url}/openai/v1`, OPENAI_API_BASE: `${url}/openai/v1` });
    expect(env['ANTHROPIC_BASE_URL']).toBeUndefined();
  });

  it('says which base URL led elsewhere, and that signed requests cannot go through', async () => {
    const program = ['run', '-v', '--gateway', '--', 'sh', '-c', 'printf %s "$OPENAI_BASE_URL"'];
    const { stdout, stderr } = await project().keymux(program, { OPENAI_BASE_URL: 'http://elsewhere/v1' });
    expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/openai\/v1$/);
    expect(stderr).toContain('OPENAI_BASE_URL leads to the gateway now, for this program only');
    expect(stderr).toContain(
      'The program gets no A_SIGNING_KEY, STRICT_KEY: nothing can stand for the keys there.',
    );
    expect(stderr).toMatch(/starting a program beside a gateway at http:\S+ for .*openai.*acme/);
  });

  it('passes proxies, and keeps what was excepted from them', async () => {
    const where = project();
    const plain = await environmentOf(where);
    expect([plain['no_proxy'], plain['NO_PROXY']]).toEqual([undefined, undefined]);
    const proxied = await environmentOf(where, { HTTP_PROXY: 'http://127.0.0.1:9', no_proxy: 'internal' });
    expect([proxied['no_proxy'], proxied['NO_PROXY']]).toEqual(['internal,127.0.0.1', '127.0.0.1']);
  });

  it('leaves Node programs without the preload, also below another run', async () => {
    const where = project();
    const program = [
      'run',
      '--gateway',
      '--',
      NODE,
      '-e',
      'console.log(JSON.stringify(process.env.NODE_OPTIONS ?? ""))',
    ];
    expect((await where.keymux(program)).stdout).toBe('""\n');
    const { stdout } = await where.keymux(['run', '--', NODE, BIN, ...program], {
      NODE_OPTIONS: '--no-warnings',
    });
    expect(stdout).toBe('"--no-warnings"\n');
  });

  it('hands signals on, and ends with the program', async () => {
    const running = project().start([
      ...['run', '--gateway', '--', PYTHON, '-c'],
      'import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\nprint("ready", flush=True)\nsignal.pause()',
    ]);
    await running.saw('ready');
    running.process.kill('SIGTERM');
    expect((await running.ended).code).toBe(9);
  });

  it('says why the program did not start', async () => {
    const { code, stderr } = await project().keymux(['run', '--gateway', '--', 'nowhere-to-be-found']);
    expect(code).toBe(127);
    expect(stderr).toContain('was not found in any folder of PATH');
  });

  it('stops with a configuration that is faulty', async () => {
    const { code } = await new Project({ 'keymux.config.yaml': 'nonsense: 1' }).keymux([
      'run',
      '--gateway',
      '--',
      'true',
    ]);
    expect(code).toBe(3);
  });
});

it('finds Python, without which these tests say nothing', () => {
  expect(spawnSync(PYTHON, ['--version']).status).toBe(0);
});
