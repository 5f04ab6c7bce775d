/**
 * Failovers and refusals as they happen, in every thread: the threads tell the one that watches over the rules. They
 * are only counted while a request is served; all else happens at the next look.
 */
import { BroadcastChannel } from 'node:worker_threads';
import type { Occurrence } from '../core/alert-measures.js';
import type { KeyManager } from '../manager/key-manager.js';

/** So many are remembered; of more, the oldest are not counted. */
const MOST_REMEMBERED = 10_000;
/** No rule looks further back. Milliseconds. */
const LONGEST_MS = 86_400_000;

const NAMES = ['failover', 'exhausted'] as const;
type OccurrenceName = (typeof NAMES)[number];

interface News extends Occurrence {
  readonly name: OccurrenceName;
}

export class Occurrences {
  readonly #lists = { failover: [] as Occurrence[], exhausted: [] as Occurrence[] };
  readonly #undos: (() => void)[];

  constructor(manager: KeyManager) {
    const channel = openChannel(manager, (news) => this.#note(news));
    this.#undos = [...hear(manager, (news) => this.#note(news)), () => channel.close()];
  }

  read(name: OccurrenceName, now: number): readonly Occurrence[] {
    const list = this.#lists[name];
    const old = list.findIndex(({ at }) => at > now - LONGEST_MS);
    list.splice(0, old === -1 ? list.length : old);
    return list;
  }

  close(): void {
    for (const undo of this.#undos) undo();
  }

  #note({ name, service, at }: News): void {
    const list = this.#lists[name];
    list.push({ service, at });
    if (list.length > MOST_REMEMBERED) list.splice(0, MOST_REMEMBERED / 10);
  }
}

/** In a thread whose manager shares the state of another one: tells that one what happens here. */
export function relayOccurrences(manager: KeyManager): () => void {
  const channel = openChannel(manager);
  const undos = hear(manager, (news) => channel.postMessage(news));
  return () => {
    for (const undo of undos) undo();
    channel.close();
  };
}

function hear(manager: KeyManager, onNews: (news: News) => void): (() => void)[] {
  return NAMES.map((name) =>
    manager.on(name, ({ service, at }) => {
      // A provider that stands beside a service of its name has a slash at the end.
      onNews({ name, service: service.replace(/\/$/, ''), at });
    }),
  );
}

/** Does not keep the thread alive. */
function openChannel({ name }: KeyManager, onNews?: (news: News) => void): BroadcastChannel {
  const channel = new BroadcastChannel(`keymux:alerts:${name}`);
  if (onNews !== undefined)
    channel.onmessage = (event: unknown) => onNews((event as { readonly data: News }).data);
  // The types do not know it; Node has it since 15.4.
  (channel as BroadcastChannel & { unref(): void }).unref();
  return channel;
}
