// The gateway's part of the soak: thousands of open streams at once and what they cost, a reader that does not read,
// clients and providers that are killed, and what is left of all that.
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TOKENS, startGateway } from '../gateway-process.mjs';
import { judge } from './verdict.mjs';

const MIB = 1_048_576;
/** The gateway's process, with all streams open. */
const MOST_RSS_BYTES = 1_024 * MIB;
/** Of a flood, what may be on its way while nobody reads: buffers of four sockets and of two processes. */
const MOST_UNREAD_BYTES = 24 * MIB;
const MOST_UNREAD_RSS_BYTES = 64 * MIB;
const TICKS = 3;
/** The gateway keeps the connections of an origin for 30 s; from here on it lets go of as many as it makes. */
const WARM_UP_MS = 40_000;
/** Rounds that are compared after that. */
const ROUNDS = 6;
/** Each round has a provider of its own that breaks. */
const MOST_ROUNDS = 200;
const PATIENCE_MS = 60_000;
const PAUSE_MS = 10;
/** So often nothing has changed, where it could at any moment. */
const STANDING_LOOKS = 20;
/** Files that a process has open anyhow. */
const OTHER_FILES = 200;

/** Each stream is two files of the gateway: one towards its client, one towards the provider. */
export function mostStreams() {
  const { stdout } = spawnSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' });
  const files = stdout.trim() === 'unlimited' ? Number.POSITIVE_INFINITY : Number(stdout);
  return Math.floor((files - OTHER_FILES) / 2);
}

/** A process that answers each order with one message. */
class Helper {
  #child;

  static async start(file, ...args) {
    const helper = new Helper();
    helper.#child = fork(fileURLToPath(new URL(file, import.meta.url)), args.map(String));
    [helper.message] = await once(helper.#child, 'message');
    return helper;
  }

  async do(order, details = {}) {
    this.#child.send({ order, ...details });
    const [answer] = await once(this.#child, 'message');
    if (answer.error !== undefined) throw new Error(`${order}: ${answer.error}`);
    return answer;
  }

  async until(isSo, what) {
    return until(() => this.do('look'), isSo, what);
  }

  close() {
    this.#child.disconnect();
  }
}

async function until(look, isSo, what) {
  let last;
  for (const endsAt = performance.now() + PATIENCE_MS; performance.now() < endsAt; await sleep(PAUSE_MS)) {
    last = await look();
    if (isSo(last)) return last;
  }
  throw new Error(`${what} did not happen within ${PATIENCE_MS / 1_000} s: ${JSON.stringify(last)}`);
}

class Soak {
  /** The gateway before its first request. */
  idle;

  constructor(gateway, clients, provider) {
    this.gateway = gateway;
    this.clients = clients;
    this.provider = provider;
    const { hostname: host, port } = new URL(gateway.origin);
    this.target = { gateway: { host, port: Number(port) }, token: TOKENS.use };
    this.problems = [];
  }

  check(isGood, problem) {
    if (!isGood) this.problems.push(problem);
  }

  async sample(collect = true) {
    this.gateway.child.send({ collect });
    const [sample] = await once(this.gateway.child, 'message');
    return sample;
  }

  /** Requests that hold a key, by the gateway's own account. */
  async leases() {
    const headers = { authorization: `Bearer ${TOKENS.read}` };
    // Without an agent no connection is kept, which would count as one that is left.
    const request = get(`${this.gateway.origin}/-/api/state`, { headers, agent: false });
    const [response] = await once(request, 'response');
    const { keys } = await json(response);
    return keys.reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  open(count, provider) {
    return this.clients.do('open', { ...this.target, count, path: `/${provider}/stream` });
  }

  /** Each open stream has got as many events. */
  async tick() {
    const { fewest } = await this.clients.do('look');
    await this.provider.do('tick');
    return this.clients.until((seen) => seen.fewest > fewest, 'an event on every stream');
  }

  /** What so many open streams cost. */
  async manyStreams(count) {
    const before = this.idle;
    const startedAt = performance.now();
    await this.open(count, 'steady');
    const seconds = (performance.now() - startedAt) / 1_000;
    const fresh = await this.sample(false);
    for (let n = 0; n < TICKS; n += 1) await this.tick();
    const busy = await this.sample(false);
    const { open } = await this.clients.do('look');
    this.check(open === count, `${count - open} of ${count} streams did not stay open`);
    const most = Math.max(fresh.rssBytes, busy.rssBytes);
    this.check(most < MOST_RSS_BYTES, `${count} open streams took ${mib(most)}`);
    const each = (most - before.rssBytes) / count / 1_024;
    return [
      `${count} open streams, opened in ${seconds.toFixed(1)} s: ${mib(most)} resident, ${mib(before.rssBytes)} before; ${each.toFixed(1)} KiB each`,
    ];
  }

  /** One who asks for much and reads nothing, while the others go on. */
  async slowReader() {
    const before = await this.sample();
    await this.clients.do('slow', { ...this.target, path: '/steady/flood' });
    const { flooded } = await this.#standsStill();
    await this.tick();
    const after = await this.sample(false);
    const grown = after.rssBytes - before.rssBytes;
    this.check(flooded < MOST_UNREAD_BYTES, `a reader that does not read was sent ${mib(flooded)}`);
    this.check(grown < MOST_UNREAD_RSS_BYTES, `a reader that does not read cost ${mib(grown)}`);
    const { slowBytes, slowWhole } = await this.clients.do('readOn');
    const { floodBytes } = this.provider.message;
    this.check(
      slowWhole && slowBytes > floodBytes,
      `a slow reader got ${mib(slowBytes)} of ${mib(floodBytes)}`,
    );
    return [
      `a reader that stopped: ${mib(flooded)} left the provider, ${mib(grown)} more resident; then it got all of ${mib(floodBytes)}`,
    ];
  }

  async #standsStill() {
    let last = 0;
    let looks = 0;
    return this.provider.until(({ flooded }) => {
      looks = flooded > 0 && flooded === last ? looks + 1 : 0;
      last = flooded;
      return looks === STANDING_LOOKS;
    }, 'a flood that stands still');
  }

  async killedClients(count) {
    const { open } = await this.clients.do('look');
    await this.clients.do('kill', { count });
    await this.provider.until((seen) => seen.open === open - count, 'the end of streams that nobody reads');
  }

  /** The clients must see that it was no end. */
  async killedProvider() {
    await this.clients.do('forget');
    const { open } = await this.clients.do('look');
    await this.provider.do('cut');
    const { cut, whole } = await this.clients.until(
      (seen) => seen.open === 0,
      'the end of streams that were cut',
    );
    this.check(whole === 0 && cut === open, `${whole} streams that were cut looked whole`);
  }

  async goodEnds() {
    await this.clients.do('forget');
    const { open } = await this.clients.do('look');
    await this.provider.do('end');
    const { cut, whole } = await this.clients.until((seen) => seen.open === 0, 'the end of streams');
    this.check(cut === 0 && whole === open, `${cut} streams that ended well looked cut`);
  }

  /** Nothing is under way. */
  async quiet(requests) {
    await until(
      () => this.leases(),
      (leases) => leases === 0,
      'the return of all leases',
    );
    // It closes what the gateway keeps for later; a connection that carries anything stays, and is found.
    await until(
      () => this.provider.do('rest'),
      ({ connections }) => connections === 0,
      'the close of all connections to the provider',
    );
    let files;
    await until(
      () => this.sample(false),
      (sample) => {
        const stands = sample.sockets === 0 && sample.files === files;
        files = sample.files;
        return stands;
      },
      'the close of all sockets',
    );
    const none = { agentListeners: 0, subscribers: 0, keys: 0, inFlight: await this.leases(), lost: {} };
    return { ...none, ...(await this.sample()), requests };
  }

  async rounds(count) {
    const samples = [];
    const warmAt = performance.now() + WARM_UP_MS;
    for (let round = 0; samples.length < ROUNDS; round += 1) {
      if (round === MOST_ROUNDS - ROUNDS) await sleep(Math.max(0, warmAt - performance.now()));
      const isWarm = performance.now() >= warmAt;
      await this.open(count, 'steady');
      await this.tick();
      await this.killedClients(Math.floor(count / 2));
      await this.goodEnds();
      await this.open(count, `breaking${round}`);
      await this.killedProvider();
      const sample = await this.quiet((round + 1) * 2 * count);
      if (isWarm) samples.push(sample);
    }
    return judge(samples);
  }
}

function mib(bytes) {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}

/** `streams` at once, and rounds of `each` streams. Returns what to print and what is wrong. */
export async function soakGateway({ streams, each }) {
  const provider = await Helper.start('stream-provider.mjs', 1 + MOST_ROUNDS);
  const clients = await Helper.start('stream-clients.mjs');
  const [steady, ...breaking] = provider.message.ports;
  const providerAt = (port) => ({
    baseUrl: `http://127.0.0.1:${port}`,
    keys: [{ id: 'only', value: 'env:SOAK' }],
  });
  const gateway = await startGateway({
    config: {
      store: { type: 'memory' },
      providers: {
        steady: providerAt(steady),
        // What breaks so often is not asked again for a while: each round has its own.
        ...Object.fromEntries(breaking.map((port, round) => [`breaking${round}`, providerAt(port)])),
      },
    },
    env: { SOAK: 'soak-key-of-the-providers' },
    execArgv: ['--expose-gc', '--import', new URL('gateway-probe.mjs', import.meta.url).href],
  });
  try {
    const soak = new Soak(gateway, clients, provider);
    soak.idle = await soak.sample();
    const lines = await soak.manyStreams(streams);
    lines.push(...(await soak.slowReader()));
    await soak.killedClients(Math.floor(streams / 2));
    await soak.goodEnds();
    const { table, problems } = await soak.rounds(each);
    return { lines: [...lines, table], problems: [...soak.problems, ...problems] };
  } finally {
    await gateway.close();
    clients.close();
    provider.close();
  }
}
