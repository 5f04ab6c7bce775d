import type { RedisEndpoint } from '../../core/redis-address.js';
import { answerOf, type Connection } from './client-connection.js';
import { subscribe, type Subscription } from './client-subscription.js';

export interface SentinelOptions {
  readonly address: string;
  readonly sentinels: readonly RedisEndpoint[];
  readonly master: string;
  readonly openSentinel: (endpoint: RedisEndpoint) => Promise<Connection>;
  readonly openServer: (endpoint: RedisEndpoint) => Promise<Connection>;
}

/** Connections to whoever is master at that moment. */
export class Sentinels {
  readonly #options: SentinelOptions;
  readonly #connections = new Map<Connection, RedisEndpoint>();
  /** The sentinel that is asked first. */
  #first = 0;

  constructor(options: SentinelOptions) {
    this.#options = options;
  }

  /**
   * A sentinel tells the address of the master; the server itself is asked, too, since a sentinel may not know yet what
   * has happened. Where that fails, the next call begins with another sentinel.
   */
  async open(): Promise<Connection> {
    const { sentinels, openServer } = this.#options;
    const { master, index } = await this.#findMaster();
    this.#first = (index + 1) % sentinels.length;
    const connection = await openServer(master);
    try {
      const role = await answerOf(connection, ['ROLE']);
      if (!Array.isArray(role) || role[0] !== 'master') throw new Error('The server is no master any more');
    } catch (error) {
      connection.destroy();
      throw error;
    }
    this.#first = index;
    this.#connections.set(connection, master);
    void connection.ended.then(() => this.#connections.delete(connection));
    return connection;
  }

  /**
   * Ends connections to a master that was replaced. It may take part as a master for seconds, and what it is told then
   * is lost.
   */
  follow(): Subscription {
    const { address, sentinels, master } = this.#options;
    let followed = this.#first;
    const open = async (): Promise<Connection> => {
      followed = (followed + 1) % sentinels.length;
      return this.#openSentinel(followed);
    };
    return subscribe(address, open, '+switch-master', {
      onMessage: (message) => {
        const [name, , , host = '', port] = message.split(' ');
        if (name === master) this.#replace({ host, port: Number(port) }, followed);
      },
      onGap: () => {
        const index = followed;
        this.#ask(index).then(
          (current) => this.#replace(current, index),
          () => {},
        );
      },
    });
  }

  #replace(master: RedisEndpoint, knownBy: number): void {
    for (const [connection, { host, port }] of this.#connections) {
      if (host === master.host && port === master.port) continue;
      this.#first = knownBy;
      connection.destroy();
    }
  }

  async #findMaster(): Promise<{ master: RedisEndpoint; index: number }> {
    const { length } = this.#options.sentinels;
    const first = this.#first;
    let fault: unknown;
    for (let trial = 0; trial < length; trial += 1) {
      const index = (first + trial) % length;
      try {
        return { master: await this.#ask(index), index };
      } catch (error) {
        fault = error;
      }
    }
    throw fault;
  }

  async #ask(index: number): Promise<RedisEndpoint> {
    const { master } = this.#options;
    const connection = await this.#openSentinel(index);
    try {
      const reply = await answerOf(connection, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master]);
      if (!Array.isArray(reply)) throw new Error(`The sentinels know no master "${master}"`);
      return { host: String(reply[0]), port: Number(reply[1]) };
    } finally {
      connection.destroy();
    }
  }

  #openSentinel(index: number): Promise<Connection> {
    return this.#options.openSentinel(this.#options.sentinels[index] as RedisEndpoint);
  }
}
