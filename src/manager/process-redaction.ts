/** What a thread says to whoever runs it holds no key that anything in it knows, whichever copy of keymux says it. */
import { inspect } from 'node:util';

/** Takes the keys that its owner knows out of a text. */
type Redact = (text: string) => string;

const SHARED = Symbol.for('keymux.redactions');

/** Held weakly: whoever joins keeps it for as long as it knows keys. What joins is asked to replace and tells no key. */
function shared(): Set<WeakRef<Redact>> {
  const holder = globalThis as { [SHARED]?: Set<WeakRef<Redact>> | undefined };
  return (holder[SHARED] ??= new Set());
}

/** From now on `redact` is asked too, for as long as its owner keeps it. */
export function joinRedaction(redact: Redact): void {
  const joined = shared();
  for (const each of joined) if (each.deref() === undefined) joined.delete(each);
  joined.add(new WeakRef(redact));
}

/** A text without the keys that anything in this thread knows. */
export function redactKnown(text: string): string {
  let shown = text;
  for (const each of shared()) shown = each.deref()?.(shown) ?? shown;
  return shown;
}

/** An error of others as the cause of one of ours. One that holds a key, wherever, is told by its message alone. */
export function redactCause(cause: unknown): unknown {
  const whole = inspect(cause, { depth: CAUSE_DEPTH });
  if (redactKnown(whole) === whole) return cause;
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  const told = new Error(redactKnown(message));
  told.name = name;
  told.stack = redactKnown((cause instanceof Error ? cause.stack : undefined) ?? '');
  return told;
}

/** An error of a client holds its request, with headers; deeper there are sockets and agents. */
const CAUSE_DEPTH = 6;

/** `process.emitWarning` for whatever an error of others may have worded: it may quote a key. */
export function emitWarning(message: string, options: { readonly code?: string } = {}): void {
  process.emitWarning(redactKnown(message), options);
}
