import type { Outcome } from '../core/outcome.js';
import { ABORTED } from '../core/outcome.js';
import type { ProviderDefinition } from '../core/provider.js';
import { bodyVerdict, headVerdict } from '../providers/classification.js';

/** Failures before a connection stood: nothing of the request reached the provider. */
const UNSENT_CODES = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);
/** Sockets, name resolution, TLS and HTTP; `ENOENT` and its like are the caller's own affair. */
const NETWORK_CODES =
  /^(E(CONN|HOST|NET)[A-Z]+|EAI_[A-Z]+|ENOTFOUND|EPIPE|EPROTO|E(SOCKET)?TIMEDOUT|UND_ERR_(SOCKET|(CONNECT|HEADERS|BODY)_TIMEOUT|RES_[A-Z_]+)|HPE_[A-Z_]+|ERR_(SSL|TLS)_[A-Z0-9_]+|CERT_[A-Z_]+|[A-Z_]*SELF_SIGNED_CERT[A-Z_]*|UNABLE_TO_[A-Z_]+)$/;
/** `CanceledError` is that of axios. */
const ABORT_NAMES = new Set(['AbortError', 'CanceledError']);
const LONGEST_CAUSE_CHAIN = 8;

/**
 * What an error thrown by somebody's client means: an HTTP status that it carries is judged like an answer, a
 * network code like a failed attempt. Anything else is the caller's own affair, and speaks neither for nor against
 * anyone.
 */
export function outcomeOfError(error: unknown, provider: ProviderDefinition, now: number): Outcome {
  for (const link of causeChain(error)) {
    if (ABORT_NAMES.has(link['name'] as string)) return ABORTED;
    const status = statusOf(link);
    if (status !== undefined) {
      const head = { status, header: headerReader(link) };
      const verdict = headVerdict(provider, head, now);
      return verdict === 'needs-body' ? bodyVerdict(provider, head, bodyOf(link), now) : verdict;
    }
    const code = link['code'];
    if (typeof code === 'string' && NETWORK_CODES.test(code)) return networkOutcome(code);
  }
  return ABORTED;
}

export function networkOutcome(code: string): Outcome {
  return {
    kind: 'network',
    scope: 'provider',
    evidence: code,
    executed: UNSENT_CODES.has(code) ? 'no' : 'maybe',
  };
}

type Link = Readonly<Record<string, unknown>>;

function* causeChain(error: unknown): Generator<Link> {
  let link = error;
  for (let depth = 0; depth < LONGEST_CAUSE_CHAIN && typeof link === 'object' && link !== null; depth++) {
    yield link as Link;
    link = (link as Link)['cause'];
  }
}

function statusOf(link: Link): number | undefined {
  const response = link['response'] as Link | undefined;
  for (const candidate of [
    link['status'],
    link['statusCode'],
    response?.['status'],
    response?.['statusCode'],
  ]) {
    if (typeof candidate === 'number' && candidate >= 100 && candidate < 600) return candidate;
  }
  return undefined;
}

function headerReader(link: Link): (name: string) => string | undefined {
  const response = link['response'] as Link | undefined;
  const headers = link['headers'] ?? response?.['headers'];
  return (name) => {
    if (typeof headers !== 'object' || headers === null) return undefined;
    const value: unknown =
      'get' in headers && typeof headers.get === 'function'
        ? (headers.get as (name: string) => unknown).call(headers, name)
        : (headers as Link)[name];
    return typeof value === 'string' ? value : undefined;
  };
}

function bodyOf(link: Link): string {
  const response = link['response'] as Link | undefined;
  const body = link['error'] ?? link['body'] ?? response?.['data'] ?? response?.['body'] ?? link['message'];
  if (typeof body === 'string') return body;
  try {
    return JSON.stringify({ error: body, ...(typeof body === 'object' ? body : {}) });
  } catch {
    return '';
  }
}
