import type { ProviderDefinition } from '../core/provider.js';
import { relocate } from '../providers/translation.js';
import type { RequestFacts } from './attempt.js';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Whether a request may be repeated though `provider` may have carried it out. Its `retry.repeatable` names its own
 * paths; `others` are all providers for whom the request may have been made.
 */
export function isRepeatable(
  { method, path, hasIdempotencyKey }: RequestFacts,
  provider: ProviderDefinition,
  others: Iterable<ProviderDefinition>,
): boolean {
  if (SAFE_METHODS.has(method) || hasIdempotencyKey) return true;
  const { repeatable } = provider.retry;
  if (repeatable.length === 0) return false;
  const [pathname = ''] = path.split('?', 1);
  const routes = [pathname, relocatedPath(pathname, provider, others)].map((known) => `${method} ${known}`);
  return repeatable.some((pattern) => routes.some((route) => isRoute(route, pattern)));
}

/** `*` stands for any rest at the end, and for one step of the path elsewhere. */
function isRoute(route: string, pattern: string): boolean {
  const starAt = pattern.indexOf('*');
  if (starAt === -1) return route === pattern;
  if (!route.startsWith(pattern.slice(0, starAt))) return false;
  const rest = pattern.slice(starAt + 1);
  if (rest === '') return true;
  const step = /^[^/]*/.exec(route.slice(starAt))?.[0] ?? '';
  for (let length = step.length; length >= 0; length -= 1) {
    if (isRoute(route.slice(starAt + length), rest)) return true;
  }
  return false;
}

/** Where the provider has what this path is to the one whose prefix fits it best. */
function relocatedPath(
  pathname: string,
  { protocol }: ProviderDefinition,
  others: Iterable<ProviderDefinition>,
): string {
  if (protocol === undefined) return pathname;
  let best: string | undefined;
  for (const { protocol: other } of others) {
    if (other?.name !== protocol.name) continue;
    const relocated = relocate(pathname, other.pathPrefix, '');
    if (relocated !== undefined && (best === undefined || relocated.length < best.length)) best = relocated;
  }
  return best === undefined ? pathname : protocol.pathPrefix + best;
}
