import http from 'node:http';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { DEFAULT_SCOPE, type Outcome, type OutcomeKind, type Scope } from '#keymux/core/outcome.js';
import type { AuthPlacement, ErrorRule } from '#keymux/core/provider.js';
import { nextReset } from '#keymux/core/quota.js';
import { peekText } from '#keymux/providers/body-peek.js';
import type { CatalogueEntry } from '#keymux/providers/catalogue-entry.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { bodyVerdict, headVerdict, type ResponseHead } from '#keymux/providers/classification.js';
import { describeRule } from '#keymux/providers/rule-match.js';
import { parseEvents } from '#keymux/testing/event-stream.js';
import { startProviderSimulator, tripRule } from '#keymux/testing/provider-simulator.js';
import { reply, refuse, streamError, type RequestFacts } from '#keymux/testing/script.js';
import { NOW, REFUSALS } from '../providers/refusals.js';

const KEY = 'sk-simulated-0123456789abcdef';
const entries = [...catalogue.values()];

interface Answer {
  readonly head: ResponseHead;
  readonly text: string;
}

/** One request as it goes over the wire, and the answer as classification sees it. */
function ask(url: string, headers: Record<string, string>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const header = (name: string) => response.headers[name] as string | undefined;
        const text = peekText(Buffer.concat(chunks), header('content-encoding'));
        resolve({ head: { status: response.statusCode ?? 0, header, method: 'GET' }, text });
      });
    });
    request.on('error', reject);
  });
}

/** As the failover does it: the body is only read where the head does not decide. */
function verdict(entry: CatalogueEntry, { head, text }: Answer): Outcome {
  const first = headVerdict(entry, head, NOW);
  return first === 'needs-body' ? bodyVerdict(entry, head, text, NOW) : first;
}

function placed(origin: string, path: string, auth: AuthPlacement, key = KEY) {
  const separator = path.includes('?') ? '&' : '?';
  switch (auth.in) {
    case 'header':
      return {
        url: origin + path,
        headers: { [auth.name]: auth.scheme === undefined ? key : `${auth.scheme} ${key}` },
      };
    case 'query':
      return { url: `${origin}${path}${separator}${auth.name}=${key}`, headers: {} };
    case 'path':
      return { url: `${origin}/v3/${key}${path}`, headers: {} };
    case 'basic': {
      const pair = auth.field === 'username' ? `${key}:` : `:${key}`;
      return {
        url: origin + path,
        headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` },
      };
    }
  }
}

/** The number at the end of the path tells which case is asked for. */
const numbered =
  <Case>(cases: readonly Case[], answer: (each: Case) => ReturnType<typeof reply>) =>
  ({ path }: RequestFacts) => {
    const [, index] = /case-(\d+)/.exec(path) ?? [];
    return answer(cases[Number(index)] as Case);
  };

const LIMITS: ReadonlySet<OutcomeKind> = new Set(['rate-limited', 'quota-exhausted']);
const WINDOW_MS = { second: 1_000, minute: 60_000, hour: 3_600_000 };

function namedScope(entry: CatalogueEntry, { outcome, scope }: ErrorRule): Scope {
  if (scope !== undefined) return scope;
  if (!LIMITS.has(outcome) || entry.bucketScope === 'key') return DEFAULT_SCOPE[outcome];
  return entry.bucketScope === 'egress' ? 'egress' : 'bucket';
}

function namedWaitMs({ reset }: CatalogueEntry, { outcome, window, header }: ErrorRule): number | undefined {
  if (header?.name === 'retry-after') return 1_000;
  if (window === undefined || !LIMITS.has(outcome)) return undefined;
  if (window !== 'day' && window !== 'month') return WINDOW_MS[window];
  return reset === undefined ? undefined : nextReset({ ...reset, unit: window }, NOW) - NOW;
}

describe.each(entries)('the simulated $id', (entry) => {
  it('takes the key in each place that the entry names, and knows no other key', async () => {
    await using simulator = await startProviderSimulator(entry.id, { keys: { [KEY]: { name: 'one' } } });
    for (const auth of [entry.auth, ...entry.authAlternatives]) {
      const good = placed(simulator.origin, '/good', auth);
      expect(verdict(entry, await ask(good.url, good.headers)).kind).toBe('success');
      const stranger = placed(simulator.origin, '/good', auth, 'somebody-else');
      expect(verdict(entry, await ask(stranger.url, stranger.headers)).kind).not.toBe('success');
    }
    expect(simulator.key('one').executed).toBe(1 + entry.authAlternatives.length);
  });

  const cases = entry.errors.flatMap((rule) =>
    [rule.status ?? 200].flat().map((status) => ({ rule, status })),
  );
  it('makes each rule fire, none of them in the shadow of another', async () => {
    const always = numbered(cases, ({ rule, status }) => tripRule(rule, { status }));
    await using simulator = await startProviderSimulator(entry, { keys: { [KEY]: { always } } });
    for (const [index, { rule, status }] of cases.entries()) {
      const { url, headers } = placed(simulator.origin, `/case-${index}`, entry.auth);
      const outcome = verdict(entry, await ask(url, headers));
      const [evidence] = outcome.evidence?.split('; wait') ?? [];
      const waitMs = namedWaitMs(entry, rule);
      expect({ ...outcome, evidence }).toEqual({
        kind: rule.outcome,
        scope: namedScope(entry, rule),
        status,
        evidence: describeRule(rule),
        executed: expect.any(String) as string,
        ...(waitMs !== undefined && { retryAt: NOW + waitMs }),
      });
    }
    expect(simulator.requests).toHaveLength(cases.length);
  });

  const refusals = REFUSALS.filter(({ provider }) => provider === entry.id);
  it('is understood when it refuses as the real one does', async () => {
    const always = numbered(refusals, ({ status, headers, body = '' }) =>
      reply(status, { headers: headers ?? {}, body }),
    );
    await using simulator = await startProviderSimulator(entry, { keys: { [KEY]: { always } } });
    for (const [index, refusal] of refusals.entries()) {
      const { url, headers } = placed(simulator.origin, `/case-${index}`, entry.auth);
      const outcome = verdict(entry, await ask(url, headers));
      expect(outcome, JSON.stringify(refusal)).toMatchObject({
        kind: refusal.kind,
        scope: refusal.scope ?? DEFAULT_SCOPE[refusal.kind],
      });
      expect(outcome.retryAt).toBe(refusal.waitMs === undefined ? undefined : NOW + refusal.waitMs);
    }
  });
});

describe('a simulated provider', () => {
  it.each(entries.filter(({ streamEndMark }) => streamEndMark !== undefined))(
    'of the catalogue streams to the end mark: $id',
    async (entry) => {
      await using simulator = await startProviderSimulator(entry, { keys: { [KEY]: {} } });
      const path = `${entry.protocol?.pathPrefix ?? '/v1'}/${entry.id === 'anthropic' ? 'messages' : 'chat/completions'}`;
      const auth = entry.authAlternatives.at(-1) ?? entry.auth;
      const { url, headers } = placed(simulator.origin, path, auth);
      const body = JSON.stringify({ model: 'm', stream: true });
      const answer = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
      });
      expect(answer.headers.get('content-type')).toContain('text/event-stream');
      const text = await answer.text();
      const mark = new RegExp(entry.streamEndMark ?? '(?!)', 'i');
      expect(text.split('\n\n').slice(-4).join('\n')).toMatch(mark);
      expect(text.split('\n\n')[0]).not.toMatch(mark);
      expect(parseEvents(text).length).toBeGreaterThan(2);
    },
  );

  it.each(['groq', 'openrouter', 'gemini', 'deepseek', 'perplexity'])(
    'answers the OpenAI client under the path prefix of %s',
    async (id) => {
      await using simulator = await startProviderSimulator(id, { keys: { [KEY]: { name: 'one' } } });
      const baseURL = `${simulator.origin}${catalogue.get(id)?.protocol?.pathPrefix ?? ''}`;
      const client = new OpenAI({ apiKey: KEY, baseURL, maxRetries: 0 });
      const answer = await client.chat.completions.create({ model: 'm', messages: [] });
      expect(answer.choices[0]?.message.content).toBe('served by one');
    },
  );

  it('refuses in the words of its entry, and in general ones where that has none', async () => {
    const github = catalogue.get('github');
    if (github === undefined) throw new Error('no entry');
    const first = [refuse('rate-limited'), refuse('rejected'), refuse(429), refuse(402)];
    await using simulator = await startProviderSimulator(github, { keys: { [KEY]: { first } } });
    const { url, headers } = placed(simulator.origin, '/x', github.auth);
    const answers = [];
    for (const _ of first) {
      const answer = await ask(url, headers);
      answers.push([answer.head.status, verdict(github, answer).evidence?.split('; wait')[0]]);
    }
    expect(answers).toEqual([
      [429, describeRule(github.errors[0] as ErrorRule)],
      [401, 'status 401'],
      [429, describeRule(github.errors[0] as ErrorRule)],
      [402, 'status 402'],
    ]);
  });

  it('has words for an error within a stream', async () => {
    await using simulator = await startProviderSimulator('openrouter', {
      keys: { [KEY]: { first: [streamError('quota-exhausted'), streamError('rejected')] } },
    });
    const entry = catalogue.get('openrouter') as CatalogueEntry;
    const { url, headers } = placed(simulator.origin, '/x', entry.auth);
    expect(verdict(entry, await ask(url, headers)).kind).toBe('quota-exhausted');
    expect((await ask(url, headers)).text).toContain('invalid_api_key');
  });

  it('is none that the catalogue does not know', async () => {
    await expect(startProviderSimulator('opnai')).rejects.toMatchObject({ code: 'KEYMUX_USAGE' });
  });

  it('cannot make up a text for every expression', () => {
    expect(() => tripRule({ status: 400, match: '(a)\\1(?=b)c', outcome: 'rejected' })).toThrow(
      'No text was found',
    );
  });

  it.each([
    [{ json: '$.a[2].b', match: '^7$' }, '{"a":[null,null,{"b":7}]}'],
    [{ json: '$["two words"]' }, '{"two words":1}'],
    [{ json: '$[*]', match: '[^x]?\\w{3}\\s(?:b|c)' }, '["xxx b"]'],
    [{ match: '\\W*(?!no)(?<word>yes)[\\d-]+?\\.(?<=\\.)' }, 'yes5.'],
    [{}, ''],
  ])('answers %j with %s', (rule, body) => {
    expect(tripRule({ outcome: 'rejected', ...rule })).toMatchObject({ status: 200, body });
  });
});

describe('a soft error in a packed answer', () => {
  const entry = catalogue.get('alpha_vantage') as CatalogueEntry;
  const note = JSON.stringify({
    Note: 'Our standard API call frequency is 5 calls per minute.',
    padding: 'x'.repeat(9_000),
  });

  it.each<[string, (text: string) => Buffer, string]>([
    ['gzip', (text) => gzipSync(text), 'application/json'],
    ['deflate', (text) => deflateSync(text), 'application/json'],
    ['deflate', (text) => deflateRawSync(text), 'text/csv'],
    ['br', (text) => brotliCompressSync(text), 'application/x-download'],
    ['identity', (text) => Buffer.from(text), 'text/csv; charset=utf-8'],
  ])('by %s is found, chunked, whatever was asked for', async (encoding, pack, type) => {
    const packed = pack(note);
    const server = http.createServer((_request, response) => {
      response.writeHead(200, { 'content-type': type, 'content-encoding': encoding });
      for (let at = 0; at < packed.length; at += 1_000) response.write(packed.subarray(at, at + 1_000));
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const answer = await ask(`http://127.0.0.1:${port}/query?datatype=csv`, {});
    server.close();
    expect(answer.head.header('transfer-encoding')).toBe('chunked');
    expect(verdict(entry, answer)).toMatchObject({ kind: 'rate-limited', retryAt: NOW + 60_000 });
  });
});
