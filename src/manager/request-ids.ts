import { threadId } from 'node:worker_threads';

let requests = 0;
let prefix: string | undefined;

/** From 1, within this thread. */
export function nextRequestNumber(): number {
  requests += 1;
  return requests;
}

/** Unique on this machine for as long as process ids are; names a request in events, headers and explanations. */
export function requestIdOf(number: number): string {
  return prefixOfThread() + number.toString(36);
}

/** Undefined where the request is not one of this thread. */
export function requestNumberOf(requestId: string): number | undefined {
  if (!requestId.startsWith(prefixOfThread())) return undefined;
  const number = Number.parseInt(requestId.slice(prefixOfThread().length), 36);
  return requestIdOf(number) === requestId ? number : undefined;
}

function prefixOfThread(): string {
  return (prefix ??= `${process.pid.toString(36)}-${threadId.toString(36)}-`);
}
