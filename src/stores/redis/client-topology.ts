import { setTimeout as delay } from 'node:timers/promises';
import { KeymuxError } from '../../core/errors.js';
import type { RedisEndpoint } from '../../core/redis-address.js';
import { answerOf, type Connection } from './client-connection.js';
import { within } from './client-deadline.js';
import { clientClosed, faultOf, notConnected } from './client-errors.js';
import { Link, pauseMs } from './client-link.js';
import { Signal } from './client-signal.js';
import { slotRanges, SLOTS, type SlotRange } from './client-slots.js';
import type { Reply } from './client.js';

export interface ClusterOptions {
  readonly address: string;
  /** Some nodes; the others are learned. */
  readonly seeds: readonly RedisEndpoint[];
  readonly open: (endpoint: RedisEndpoint) => Promise<Connection>;
}

export interface Node {
  readonly endpoint: RedisEndpoint;
  readonly link: Link;
}

const COMMAND = ['CLUSTER', 'SLOTS'];
const ANSWER_MS = 1_000;

/** Which node of a cluster has which slots, and a link to each; learned anew whenever there is a doubt. */
export class Topology {
  readonly #options: ClusterOptions;
  readonly #nodes = new Map<string, Node>();
  readonly #slots = new Array<Node | undefined>(SLOTS);
  readonly #closing = new AbortController();
  /** The slots were learned, or an attempt has failed. */
  readonly #change = new Signal();
  readonly #doubt = new Signal();
  readonly #learnedListeners = new Set<() => void>();
  #doubts = 0;
  #isKept = false;
  #isLearned = false;
  #fault: Error | undefined;
  /** Each question goes to another node: one that is cut off from the others knows only the past. */
  #turn = Math.floor(Math.random() * SLOTS);

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  get links(): readonly Link[] {
    return [...this.#nodes.values()].map(({ link }) => link);
  }

  /** Waits for all masters; where some cannot be reached by the deadline, the others will do. */
  async ready(deadlineMs: number): Promise<void> {
    this.#refuseIfClosed();
    this.#keep();
    let isOver = false;
    const giveUp = (): Error => notConnected(this.#options.address, this.#fault);
    const connected = async (): Promise<void> => {
      while (!this.#isLearned && !isOver) {
        await this.#change.next();
        this.#refuseIfClosed();
        if (this.#fault instanceof KeymuxError) throw this.#fault;
      }
      await Promise.all(this.links.map((link) => link.ready(deadlineMs)));
    };
    try {
      await within(connected(), deadlineMs, giveUp);
    } catch (error) {
      if (!this.links.some((link) => link.isReady)) throw error;
    } finally {
      isOver = true;
    }
  }

  nodeOf(slot: number): Node {
    this.#refuseIfClosed();
    const node = this.#slots[slot];
    if (node !== undefined) return node;
    this.doubt();
    throw notConnected(this.#options.address, this.#fault);
  }

  nodeAt(endpoint: RedisEndpoint): Node {
    this.#refuseIfClosed();
    const name = nameOf(endpoint);
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const link = new Link({
      address: this.#options.address,
      open: () => this.#options.open(endpoint),
      onLost: () => this.doubt(),
    });
    link.begin();
    const node = { endpoint, link };
    this.#nodes.set(name, node);
    return node;
  }

  /** A node said that another has the slot. The rest is learned soon. */
  move(slot: number, node: Node): void {
    this.#slots[slot] = node;
    this.doubt();
  }

  doubt(): void {
    this.#doubts += 1;
    this.#doubt.fire();
  }

  onLearned(listener: () => void): () => void {
    this.#learnedListeners.add(listener);
    return () => this.#learnedListeners.delete(listener);
  }

  isMaster(endpoint: RedisEndpoint): boolean {
    return this.#nodes.has(nameOf(endpoint));
  }

  /** Another one with each call. A seed only while nothing is known: it may be known by another name. */
  nextMaster(): RedisEndpoint {
    const known = this.#known();
    return this.#next(known.length === 0 ? this.#options.seeds : known);
  }

  close(): void {
    this.#closing.abort();
    this.#doubt.fire();
    this.#change.fire();
    for (const link of this.links) link.close();
  }

  #refuseIfClosed(): void {
    if (this.#closing.signal.aborted) throw clientClosed(this.#options.address);
  }

  #known(): readonly RedisEndpoint[] {
    return [...this.#nodes.values()].map(({ endpoint }) => endpoint);
  }

  #next(endpoints: readonly RedisEndpoint[]): RedisEndpoint {
    this.#turn += 1;
    return endpoints[this.#turn % endpoints.length] as RedisEndpoint;
  }

  #keep(): void {
    if (this.#isKept) return;
    this.#isKept = true;
    void this.#learnForEver();
  }

  async #learnForEver(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      const doubts = this.#doubts;
      try {
        await this.#learn();
        this.#isLearned = true;
        this.#fault = undefined;
        failures = 0;
      } catch (error) {
        failures += 1;
        this.#fault = faultOf(this.#options.address, error);
      }
      this.#change.fire();
      await delay(pauseMs(failures, Math.random()), undefined, { ref: false, signal }).catch(() => {});
      if (failures === 0 && !this.#isDoubtedSince(doubts)) await this.#doubt.next();
    }
  }

  #isDoubtedSince(doubts: number): boolean {
    return this.#doubts !== doubts || this.#closing.signal.aborted;
  }

  /** Asks one after another until one tells; the seeds, too: they may be all that is left of what was. */
  async #learn(): Promise<void> {
    const endpoints = [...this.#known(), ...this.#options.seeds.filter((seed) => !this.isMaster(seed))];
    let fault: unknown;
    for (const _ of endpoints) {
      const endpoint = this.#next(endpoints);
      try {
        this.#apply(slotRanges(await this.#ask(endpoint), endpoint));
        return;
      } catch (error) {
        fault = error;
      }
    }
    throw fault;
  }

  async #ask(endpoint: RedisEndpoint): Promise<Reply> {
    const link = this.#nodes.get(nameOf(endpoint))?.link;
    if (link?.isReady === true) return link.send(COMMAND, ANSWER_MS, true);
    const connection = await this.#options.open(endpoint);
    try {
      return await answerOf(connection, COMMAND);
    } finally {
      connection.destroy();
    }
  }

  #apply(ranges: readonly SlotRange[]): void {
    if (this.#closing.signal.aborted) return;
    this.#slots.fill(undefined);
    for (const { first, last, master } of ranges) this.#slots.fill(this.nodeAt(master), first, last + 1);
    const masters = new Set(ranges.map(({ master }) => nameOf(master)));
    for (const [name, { link }] of this.#nodes) {
      // What waits for an answer of a node that was a master gets it first.
      if (masters.has(name) || link.isWaiting) continue;
      link.close();
      this.#nodes.delete(name);
    }
    for (const listener of this.#learnedListeners) listener();
  }
}

function nameOf({ host, port }: RedisEndpoint): string {
  return `${host}:${String(port)}`;
}
