/** Where secrets come from that keymux cannot read by itself, such as the secret manager of a cloud. */
import { KeymuxError } from '../core/errors.js';
import { readsLikeName } from './plain-names.js';
import { keyOf, type ReadKey, type ReferenceContext, unreadableKey } from './reference.js';

/** What a source answers. */
export interface SecretValue {
  readonly value: string;
  /** From then on it is to be read anew. Epoch milliseconds. Default: every five minutes. */
  readonly expiresAt?: number;
}

/** Reads references of a kind of its own, such as those to the secret manager of a cloud. */
export interface SecretSource {
  /** What its references begin with: `aws-sm` for `aws-sm:prod/openai`. */
  readonly scheme: string;
  /** Reads one. What it throws is never repeated, since a secret may be in it. `signal`: nobody waits any more. */
  read(reference: string, options: { readonly signal: AbortSignal }): Promise<SecretValue>;
}

const SCHEME = /^[a-z][a-z0-9+.-]{0,31}$/;
const OWN_SCHEMES = ['env', 'file', 'exec', 'vault', 'keychain'];

/** By scheme. @throws `KEYMUX_USAGE` */
export function sourcesByScheme(sources: readonly SecretSource[]): ReadonlyMap<string, SecretSource> {
  const byScheme = new Map<string, SecretSource>();
  for (const source of sources) {
    const { scheme } = source;
    const fault = !SCHEME.test(scheme)
      ? 'has no scheme of lower-case letters, digits, `+`, `.` and `-`, 32 at most'
      : OWN_SCHEMES.includes(scheme)
        ? `has the scheme \`${scheme}\`, which keymux reads itself`
        : byScheme.has(scheme)
          ? `has the scheme \`${scheme}\`, as another one has`
          : undefined;
    if (fault !== undefined) {
      throw new KeymuxError('KEYMUX_USAGE', `A source of secrets ${fault}.`, {
        fix: 'Give each of `secretSources` a scheme of its own, such as `aws-sm`.',
      });
    }
    byScheme.set(scheme, source);
  }
  return byScheme;
}

export interface SourceReading {
  readonly context: ReferenceContext;
  readonly timeoutMs: number;
  /** Aborted when nobody needs the secret any more. */
  readonly signal: AbortSignal;
}

/** @throws `KEYMUX_SECRET_UNREADABLE`, also where the source takes longer than `timeoutMs` */
export async function readFromSource(
  source: SecretSource,
  reference: string,
  { context, timeoutMs, signal }: SourceReading,
): Promise<ReadKey> {
  const failed = (reason: string): KeymuxError => unreadableKey(reference, context.keyId, reason);
  const deadline = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, fail) => {
    timer = setTimeout(() => {
      fail(failed(`its source did not answer within ${timeoutMs / 1_000} s`));
      deadline.abort();
    }, timeoutMs);
  });
  try {
    const answer: unknown = await Promise.race([
      source.read(reference, { signal: AbortSignal.any([deadline.signal, signal]) }),
      tooLate,
    ]);
    return keyOfAnswer(answer, reference, context, failed);
  } catch (error) {
    throw error instanceof KeymuxError ? error : failed(`its source failed${kindOfError(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

function keyOfAnswer(
  answer: unknown,
  reference: string,
  context: ReferenceContext,
  failed: (reason: string) => KeymuxError,
): ReadKey {
  const { value: text, expiresAt } = (answer ?? {}) as Partial<Record<keyof SecretValue, unknown>>;
  if (typeof text !== 'string') throw failed('its source gave no text as `value`');
  if (expiresAt === undefined) return keyOf({ text }, reference, context);
  if (typeof expiresAt !== 'number' || !Number.isFinite(expiresAt))
    throw failed('the `expiresAt` of its source is no time');
  return keyOf({ text, expiresAt }, reference, context);
}

/** The class of an error says what to look for, and holds nothing of what was asked or answered. */
function kindOfError(error: unknown): string {
  const name = error instanceof Error ? error.name : '';
  return readsLikeName(name) && name !== 'Error' ? ` (${name})` : '';
}
