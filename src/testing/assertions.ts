/** What a test says about a run, for any runner: failures are those of `node:assert`, and show what happened. */
import { AssertionError } from 'node:assert';
import type { Simulator } from './simulator-api.js';
import type { RequestRecord } from './simulator-records.js';

/** What one attempt was to be; what is absent may be anything. */
export interface ExpectedAttempt {
  /** Name of the key; with several simulators `simulator/key`. `undefined`: none, or one that is not known. */
  readonly key?: string | undefined;
  /** `undefined`: no answer. */
  readonly status?: number | undefined;
  /** As in `RequestRecord.did`, such as `ok` or `refuse rate-limited`. */
  readonly did?: string;
  readonly method?: string;
  /** With the query. */
  readonly path?: string | RegExp;
}

/** Which requests count. */
export interface AttemptsOptions {
  /** Default: every request. */
  readonly where?: (request: RequestRecord) => boolean;
}

/** One simulator, or several by the name that is to stand before the keys. */
export type Simulators = Simulator | Readonly<Record<string, Simulator>>;

interface Attempt {
  /** `undefined`: none, or one that is not known. */
  readonly key: string | undefined;
  readonly request: RequestRecord;
}

/**
 * Asserts that exactly these attempts arrived, in this order; a text is the name of a key. Throws `AssertionError`,
 * whose message lists every attempt, what became of it and where it differs.
 *
 * @example
 * assertAttempts(simulator, ['bad', 'good']);
 * assertAttempts({ openai, groq }, ['openai/main', { key: 'groq/main', status: 200 }]);
 */
export function assertAttempts(
  simulators: Simulators,
  expected: readonly (string | ExpectedAttempt)[],
  options: AttemptsOptions = {},
): void {
  const attempts = attemptsAt(simulators, options);
  const wanted = expected.map((each) => (typeof each === 'string' ? { key: each } : each));
  const length = Math.max(attempts.length, wanted.length);
  const isGood = (index: number): boolean => {
    const [attempt, want] = [attempts[index], wanted[index]];
    return attempt !== undefined && want !== undefined && faultOf(attempt, want) === undefined;
  };
  const first = Array.from({ length }, (_, index) => index).find((index) => !isGood(index));
  if (first === undefined) return;
  throw new AssertionError({
    message: [
      `The attempts are not the expected ones, from number ${first + 1} on.`,
      `expected: ${wanted.map(wordOf).join(' -> ') || 'none'}`,
      `happened: ${attempts.map(({ key }) => nameOf(key)).join(' -> ') || 'none'}`,
      ...tableOf(attempts, wanted),
    ].join('\n'),
    actual: attempts.map(({ key }) => key),
    expected: wanted.map(({ key }) => key),
    operator: 'assertAttempts',
    stackStartFn: assertAttempts,
  });
}

/** Asserts that no limit was exceeded and no order carried out twice. Throws `AssertionError`, which lists them. */
export function assertNoHarm(simulators: Simulators): void {
  const all = Object.entries(namedSimulators(simulators));
  const overshoots = all.flatMap(([name, { overshoots: found }]) =>
    found.map(
      ({ meter, limit, count, request }) =>
        `${prefix(name)}${meter}: ${count} requests within ${limit.perMs} ms, where ${limit.requests} are allowed (${lineOf(request)})`,
    ),
  );
  const duplicates = all.flatMap(([name, { duplicates: found }]) =>
    found.map(
      ({ orderId, count, requests }) =>
        `${prefix(name)}order ${orderId} was carried out ${count} times (${requests.map(lineOf).join('; ')})`,
    ),
  );
  const harm = [...overshoots, ...duplicates];
  if (harm.length === 0) return;
  throw new AssertionError({
    message: ['A limit was exceeded, or an order carried out twice.', ...harm].join('\n'),
    actual: harm,
    expected: [],
    operator: 'assertNoHarm',
    stackStartFn: assertNoHarm,
  });
}

function attemptsAt(simulators: Simulators, { where = () => true }: AttemptsOptions): Attempt[] {
  return Object.entries(namedSimulators(simulators))
    .flatMap(([name, { requests }]) =>
      requests.map((request) => ({
        key: request.key === undefined ? undefined : `${prefix(name)}${request.key}`,
        request,
      })),
    )
    .filter(({ request }) => where(request))
    .toSorted((a, b) => a.request.nth - b.request.nth);
}

function namedSimulators(simulators: Simulators): Readonly<Record<string, Simulator>> {
  return isSimulator(simulators) ? { '': simulators } : simulators;
}

function isSimulator(simulators: Simulators): simulators is Simulator {
  return Array.isArray(simulators.requests);
}

function prefix(name: string): string {
  return name === '' ? '' : `${name}/`;
}

/** What is not as wanted, in words. */
function faultOf({ key, request }: Attempt, want: ExpectedAttempt): string | undefined {
  const wrong: string[] = [];
  if ('key' in want && want.key !== key) wrong.push(nameOf(want.key));
  if ('status' in want && want.status !== request.status)
    wrong.push(want.status === undefined ? 'no answer' : `status ${want.status}`);
  if (want.did !== undefined && want.did !== request.did) wrong.push(want.did);
  if (want.method !== undefined && want.method !== request.method) wrong.push(want.method);
  if (want.path !== undefined && !isPath(request.path, want.path)) wrong.push(`path ${String(want.path)}`);
  return wrong.length === 0 ? undefined : wrong.join(', ');
}

function isPath(path: string, want: string | RegExp): boolean {
  return typeof want === 'string' ? path === want : path.search(want) >= 0;
}

function tableOf(attempts: readonly Attempt[], wanted: readonly ExpectedAttempt[]): string[] {
  const startedAt = attempts[0]?.request.at ?? 0;
  const happened = attempts.map((attempt, index) => {
    const { key, request } = attempt;
    const want = wanted[index];
    const fault = want === undefined ? 'nothing' : faultOf(attempt, want);
    const at = `+${Math.round(request.at - startedAt)} ms`;
    return `  ${index + 1}. ${at}  ${nameOf(key)}  ${lineOf(request)}${fault === undefined ? '' : `  <- expected ${fault}`}`;
  });
  const missing = wanted
    .slice(attempts.length)
    .map((want, index) => `  ${attempts.length + index + 1}. did not happen  <- expected ${wordOf(want)}`);
  return [...happened, ...missing];
}

function lineOf({ method, path, status, did, aborted }: RequestRecord): string {
  const answer = status === undefined ? 'no answer' : String(status);
  return `${method} ${path}  ${answer}  ${did || 'not read yet'}${aborted ? ', aborted by the client' : ''}`;
}

function wordOf(want: ExpectedAttempt): string {
  const { status, did, method, path } = want;
  const more = [status, did, method, path].filter((part) => part !== undefined).map(String);
  const name = 'key' in want ? nameOf(want.key) : 'any key';
  return more.length === 0 ? name : `${name} (${more.join(', ')})`;
}

function nameOf(key: string | undefined): string {
  return key ?? '(no known key)';
}
