import { setTimeout as delay } from 'node:timers/promises';
import type { Commands } from './client-composed.js';
import type { Connection } from './client-connection.js';
import { redirectOf, slotOf } from './client-slots.js';
import { Topology, type ClusterOptions } from './client-topology.js';
import { hrtimeMs, RedisReplyError, type Reply } from './client.js';

/** More than a slot needs that moves twice meanwhile. */
const MOST_REDIRECTS = 5;
/** Between two attempts, while the keys of one command lie on two nodes. */
const SPLIT_PAUSE_MS = 10;

/** Sends each command to the master that has its key. */
export class Cluster implements Commands {
  readonly #options: ClusterOptions;
  readonly #topology: Topology;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#topology = new Topology(options);
  }

  get lastHeardMs(): number {
    const { links } = this.#topology;
    const waiting = links.filter((link) => link.isWaiting);
    if (waiting.length > 0) return Math.min(...waiting.map((link) => link.lastHeardMs));
    return Math.max(0, ...links.map((link) => link.lastHeardMs));
  }

  ready(deadlineMs: number): Promise<void> {
    return this.#topology.ready(deadlineMs);
  }

  async send(key: string, command: readonly string[], deadlineMs: number): Promise<Reply> {
    const untilMs = hrtimeMs() + deadlineMs;
    const slot = slotOf(key);
    let node = this.#topology.nodeOf(slot);
    let isAsking = false;
    let redirects = 0;
    for (;;) {
      const leftMs = Math.max(1, untilMs - hrtimeMs());
      try {
        // Nothing may come between the two: the permission is for the next command.
        if (isAsking) node.link.send(['ASKING'], leftMs).catch(() => {});
        return await node.link.send(command, leftMs);
      } catch (error) {
        const redirect = redirectOf(error, node.endpoint);
        if (redirect !== undefined) redirects += 1;
        else await this.#pauseOver(error);
        if (hrtimeMs() >= untilMs || redirects > MOST_REDIRECTS) throw error;
        isAsking = redirect?.kind === 'ask';
        node = redirect === undefined ? this.#topology.nodeOf(slot) : this.#topology.nodeAt(redirect.to);
        if (redirect?.kind === 'moved') this.#topology.move(slot, node);
      }
      if (!node.link.isReady) await node.link.ready(Math.max(1, untilMs - hrtimeMs()));
    }
  }

  /** To any node: each passes on what is published at another. Ended once the node belongs to the cluster no more. */
  async openSubscriber(): Promise<Connection> {
    const endpoint = this.#topology.nextMaster();
    const connection = await this.#options.open(endpoint);
    const stop = this.#topology.onLearned(() => {
      if (!this.#topology.isMaster(endpoint)) connection.destroy();
    });
    void connection.ended.then(stop);
    return connection;
  }

  close(): void {
    this.#topology.close();
  }

  /** Where trying again helps; throws any other error again. */
  async #pauseOver(error: unknown): Promise<void> {
    const code = error instanceof RedisReplyError ? error.code : '';
    if (code === 'CLUSTERDOWN') this.#topology.doubt();
    if (code !== 'TRYAGAIN') throw error;
    await delay(SPLIT_PAUSE_MS);
  }
}
