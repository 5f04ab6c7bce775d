/** What the definition of a provider keeps to, as tests that run in vitest, jest and node:test alike. */
import assert from 'node:assert/strict';
import type { FileProvider } from '../../config/file-content.js';
import type { OutcomeKind, Scope } from '../../core/outcome.js';
import type { AuthPlacement, ErrorRule, ProviderDefinition } from '../../core/provider.js';
import { readConfiguration } from '../../manager/discovery.js';
import { bodyVerdict, headVerdict } from '../../providers/classification.js';
import { limitWindows } from '../../providers/limit-headers.js';
import type { LimitWindow } from '../../providers/limit-headers.js';
import type { ResponseHead } from '../../providers/response-head.js';
import { describeRule } from '../../providers/rule-match.js';
import { assertAttempts } from '../assertions.js';
import { answerOf } from '../rule-answer.js';
import type { RuleAnswer } from '../rule-answer.js';
import { refuse } from '../script.js';
import { flavourOf } from '../simulator-flavour-entry.js';
import { createTestManager } from '../test-manager.js';
import type { ContractHarness } from './contract-cases.js';

/** An answer that the provider really gave, and what it means. */
export interface RecordedAnswer {
  /** Default: status, outcome and the beginning of the body. */
  readonly title?: string;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is if it is a text, else as JSON. */
  readonly body?: unknown;
  readonly outcome: OutcomeKind;
  /** Default: any. */
  readonly scope?: Scope;
  /** When to come back, from `at` on. Milliseconds; `undefined`: nothing is stated. Default: any. */
  readonly waitMs?: number | undefined;
  /** The windows that the headers tell of, in order, each as far as it is known. Default: any. */
  readonly limits?: readonly Partial<LimitWindow>[];
}

/** A provider under test. */
export interface ProviderContractOptions {
  /** As it stands in `keymux.config.*`. Default: as the catalogue has it. */
  readonly config?: FileProvider;
  readonly answers?: readonly RecordedAnswer[];
  /** When the answers arrived. Epoch milliseconds. Default: 2025-07-15T12:00:00Z. */
  readonly at?: number;
}

const DEFAULT_AT = Date.UTC(2025, 6, 15, 12);
const KEYS = { q7Xv2mT9pLr4Zk8c: 'bad', w3Nd6bYs1HfJ5uGe: 'good' };

/**
 * Registers the suite: a request carries its key where the definition says, and only there; each rule is reached by an
 * answer that it is about; good answers blame nobody; recorded answers are read as they were meant.
 *
 * @example
 * providerContract({ describe, it }, 'acme', {
 *   config: { baseUrl: 'https://api.acme.example', errors: [{ status: 420, outcome: 'rate-limited' }] },
 *   answers: [{ status: 420, headers: { 'retry-after': '7' }, outcome: 'rate-limited', waitMs: 7_000 }],
 * });
 */
export function providerContract(
  harness: ContractHarness,
  id: string,
  options: ProviderContractOptions = {},
): void {
  const { answers = [], at = DEFAULT_AT } = options;
  let known: ProviderDefinition | undefined;
  // Read by the first test, so that a definition that is refused fails tests and not the file.
  const definition = (): ProviderDefinition => (known ??= definitionOf(id, options.config));
  harness.describe(`the provider ${id}`, () => {
    harness.it('sends keys to its own places only', async () => checkPlaces(definition()));
    harness.it('puts its key where it says, and takes the next one after a refusal', async () =>
      checkFailover(definition(), options.config),
    );
    harness.it('takes a good answer for one', async () => checkGoodAnswers(definition(), at));
    harness.it('reaches each of its rules', async () => {
      for (const rule of definition().errors) checkRule(definition(), rule, answers, at);
    });
    answers.forEach((answer, index) => {
      harness.it(`reads answer ${index + 1}: ${answer.title ?? titleOf(answer)}`, async () =>
        checkAnswer(definition(), answer, at),
      );
    });
  });
}

/** Throws `KEYMUX_CONFIG_INVALID` where the configuration would be refused. */
function definitionOf(id: string, config: FileProvider = {}): ProviderDefinition {
  const file = { providers: { [id]: config } };
  const definition = readConfiguration({ env: {}, cwd: '/', config: file }).providers.get(id);
  assert.ok(definition, `there is no provider ${id}`);
  return definition;
}

async function checkPlaces({ auth, authAlternatives, baseUrl, origins }: ProviderDefinition): Promise<void> {
  const places = [auth, ...authAlternatives].map(placeName);
  assert.deepEqual(places, [...new Set(places)], 'a place for the key is named twice');
  const { origin } = new URL(baseUrl);
  assert.ok(origins.length === 0 || origins.includes(origin), `${origin} is none of its origins`);
}

function placeName(place: AuthPlacement): string {
  if (place.in === 'header') return `header ${place.name.toLowerCase()} ${place.scheme?.toLowerCase() ?? ''}`;
  return place.in === 'query' ? `query ${place.name}` : place.in;
}

/** Nothing is sent in the name of a provider whose requests are signed: keymux cannot sign. */
async function checkFailover(definition: ProviderDefinition, config: FileProvider = {}): Promise<void> {
  if (definition.signed) return;
  const { id, auth, authAlternatives, stream } = definition;
  const { endMark } = stream;
  const flavour = flavourOf({
    ...definition,
    ...(endMark === undefined ? {} : { streamEndMark: endMark }),
  });
  // Addresses are those of the simulator, and keys those of this test.
  const { baseUrl: _baseUrl, origins: _origins, keys: _keys, ...rest } = config;
  await using test = await createTestManager({
    providers: {
      [id]: {
        flavour,
        auth: [auth, ...authAlternatives],
        keys: Object.fromEntries(
          Object.entries(KEYS).map(([text, name]) => [
            text,
            name === 'bad' ? { name, always: refuse('rejected') } : { name },
          ]),
        ),
      },
    },
    config: { providers: { [id]: rest } },
  });
  const response = await test.manager.fetch(id, auth.in === 'path' ? '/v1/{key}/quote' : '/v1/quote');
  await response.arrayBuffer();
  const simulator = test.simulator(id);
  assertAttempts(simulator, ['bad', { key: 'good', status: 200 }]);
  for (const { key, carries } of simulator.requests)
    assert.deepEqual(carries, [key], 'a request carries its own key, and no other');
}

function checkGoodAnswers(definition: ProviderDefinition, at: number): void {
  for (const body of ['', '{}', '[]', '{"data":[{"id":1,"value":"text"}]}']) {
    const answer = { status: 200, headers: { 'content-type': 'application/json' }, body };
    const { kind, evidence } = verdictOn(definition, answer, at);
    assert.equal(kind, 'success', `200 with ${body || 'no body'} is read as ${kind} (${evidence ?? ''})`);
  }
}

/** By the least that it asks for; where no text is found that it accepts, by a recorded answer. */
function checkRule(
  definition: ProviderDefinition,
  rule: ErrorRule,
  answers: readonly RecordedAnswer[],
  at: number,
): void {
  const wanted = describeRule(rule);
  const reached = [...madeFor(rule), ...answers.map(onTheWire)].map((answer) =>
    verdictOn(definition, answer, at),
  );
  const evidence = reached.map((verdict) => verdict.evidence?.split('; wait')[0]);
  if (evidence.includes(wanted)) return;
  const instead = evidence[0] === undefined ? '' : ` An answer made for it is taken by: ${evidence[0]}.`;
  assert.fail(`No answer reaches the rule "${wanted}".${instead} Move it up, or record an answer for it.`);
}

function madeFor(rule: ErrorRule): RuleAnswer[] {
  try {
    return [rule.status ?? 200].flat().map((status) => answerOf(rule, status));
  } catch {
    return [];
  }
}

function checkAnswer(definition: ProviderDefinition, answer: RecordedAnswer, at: number): void {
  const wire = onTheWire(answer);
  const { kind, scope, retryAt, evidence = '' } = verdictOn(definition, wire, at);
  assert.equal(kind, answer.outcome, `it is read as ${kind} (${evidence})`);
  if (answer.scope !== undefined) assert.equal(scope, answer.scope, `it blames ${scope} (${evidence})`);
  if ('waitMs' in answer) {
    const waitMs = retryAt === undefined ? undefined : retryAt - at;
    assert.equal(waitMs, answer.waitMs, `it says to wait ${waitMs ?? 'for no time'} (${evidence})`);
  }
  if (answer.limits === undefined) return;
  const windows = limitWindows(headOf(wire), at);
  assert.equal(windows.length, answer.limits.length, `windows: ${JSON.stringify(windows)}`);
  for (const [index, wanted] of answer.limits.entries())
    assert.deepEqual({ ...windows[index], ...wanted }, windows[index], 'a window is read otherwise');
}

function verdictOn(definition: ProviderDefinition, answer: RuleAnswer, at: number) {
  const head = headOf(answer);
  const first = headVerdict(definition, head, at);
  return first === 'needs-body' ? bodyVerdict(definition, head, answer.body, at) : first;
}

function headOf({ status, headers }: RuleAnswer): ResponseHead {
  const byName = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return { status, header: (name) => byName.get(name), method: 'GET' };
}

function onTheWire({ status, headers, body = '' }: RecordedAnswer): RuleAnswer {
  const isText = typeof body === 'string';
  return {
    status,
    headers: { 'content-type': isText ? 'text/plain' : 'application/json', ...headers },
    body: isText ? body : JSON.stringify(body),
  };
}

const TITLE_LENGTH = 60;

function titleOf(answer: RecordedAnswer): string {
  const { body } = onTheWire(answer);
  const shown = body.length > TITLE_LENGTH ? `${body.slice(0, TITLE_LENGTH)}…` : body;
  return `${answer.status} is ${answer.outcome}${shown === '' ? '' : `: ${shown}`}`;
}
