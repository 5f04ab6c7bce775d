import type { IncomingMessage } from 'node:http';
import type { AuthPlacement } from '../core/provider.js';
import type { KeyScript, OutageKind, OutageOptions, ProviderChange } from './script-key.js';
import { outageAction } from './script-key.js';
import type { Action } from './script.js';
import { executes, ok, refuse } from './script.js';
import type { SimulatorOptions } from './simulator-api.js';
import { EventHub } from './simulator-events.js';
import type { Decision, Exchange, RequestBody } from './simulator-exchange.js';
import { chooseAction, describeAction } from './simulator-exchange.js';
import type { Flavour } from './simulator-flavour.js';
import { FLAVOURS } from './simulator-flavours.js';
import { keysCarried, maskedHeaders, maskKeys, presentedKey } from './simulator-identity.js';
import type { KeyState } from './simulator-key.js';
import { KeyRing } from './simulator-keyring.js';
import { Ledger } from './simulator-ledger.js';
import type { MeterRefusal } from './simulator-meter.js';
import { Timeline } from './simulator-timeline.js';

const DEFAULT_KEPT_REQUESTS = 100_000;

/** Decides and counts: everything of the simulator but its sockets. */
export class SimulatedProvider {
  readonly flavour: Flavour;
  readonly hub = new EventHub();
  readonly ledger: Ledger;
  readonly keys: KeyRing;
  readonly timeline: Timeline;
  readonly #options: SimulatorOptions;
  readonly #auth: readonly AuthPlacement[];
  readonly #startedAt: number;
  #outage: Action | undefined;
  #cancelRecovery: () => void = () => undefined;

  constructor(options: SimulatorOptions) {
    this.#options = options;
    this.timeline = new Timeline(options.clock);
    this.#startedAt = this.timeline.now();
    const flavour = options.flavour ?? 'generic';
    this.flavour = typeof flavour === 'string' ? FLAVOURS[flavour] : flavour;
    this.#auth = [options.auth ?? this.flavour.auth].flat();
    this.ledger = new Ledger(options.keepRequests ?? DEFAULT_KEPT_REQUESTS);
    this.keys = new KeyRing(options.buckets ?? {}, this.#startedAt);
    for (const [text, script] of Object.entries(options.keys ?? {})) this.addKey(text, script);
    for (const { atMs, change } of options.timeline ?? []) {
      this.timeline.add(this.#startedAt + atMs, () => this.#apply(change));
    }
  }

  addKey(text: string, script: KeyScript): KeyState {
    const key = this.keys.add(text, script, (change) => this.hub.emit('change', { change, key: key.name }));
    for (const { atMs, change } of script.timeline ?? []) {
      this.timeline.add(this.#startedAt + atMs, () => key.apply(change));
    }
    return key;
  }

  outage(how: OutageKind, { forMs }: OutageOptions): void {
    this.#cancelRecovery();
    this.#outage = outageAction(how);
    if (forMs !== undefined)
      this.#cancelRecovery = this.timeline.add(this.timeline.now() + forMs, () => this.recover());
    this.hub.emit('change', { change: 'outage', key: undefined });
  }

  recover(): void {
    this.#cancelRecovery();
    this.#outage = undefined;
    this.hub.emit('change', { change: 'recover', key: undefined });
  }

  /** Takes down that the head of a request arrived, and decides at once what will become of it. */
  enter(request: IncomingMessage, webSocket: boolean): Exchange {
    const now = this.timeline.now();
    this.timeline.runDue(now);
    const target = request.url ?? '/';
    const url = urlOf(target);
    const { names } = this.keys;
    const keyText = presentedKey(request.headers, url, this.#auth, names);
    const key = this.keys.byText(keyText);
    const record = this.ledger.enter({
      at: now,
      method: request.method ?? 'GET',
      path: maskKeys(target, names, keyText),
      key: key?.name,
      carries: keysCarried(request.headers, target, names),
      headers: maskedHeaders(request.headers, names, keyText),
      webSocket,
    });
    key?.arrive(now);
    const exchange: Exchange = {
      record,
      url,
      key,
      keyText: keyText ?? '',
      abort: new AbortController(),
      cut: false,
      decision: this.#decide(key, now),
    };
    this.#noteOvershoot(exchange);
    this.hub.emit('request', record);
    return exchange;
  }

  /** The action for a request that was read, entered in the books as refused or carried out. */
  settle(exchange: Exchange, body: RequestBody): Action {
    const { record, key } = exchange;
    this.ledger.identify(record, body.json, body.hash);
    record.bodyBytes = body.bytes;
    const inBody = keysCarried({}, body.text, this.keys.names);
    record.carries = [...new Set([...record.carries, ...inBody])];
    const action = chooseAction(exchange.decision.behaviour, record, body.text);
    record.did = describeAction(action);
    if (key !== undefined && action.do === 'refuse') key.refusals[action.kind] += 1;
    if (executes(action)) {
      this.ledger.execute(record);
      if (record.executed && key !== undefined) key.executed += 1;
    }
    return action;
  }

  /** Takes down that a request is over. */
  leave(exchange: Exchange): void {
    if (exchange.record.endedAt !== undefined) return;
    exchange.record.endedAt = this.timeline.now();
    exchange.key?.leave();
    this.hub.emit('answer', exchange.record);
  }

  /** Headers that each answer to this request carries. */
  headersFor({ key, decision }: Exchange): Record<string, string> {
    if (key === undefined) return {};
    const now = this.timeline.now();
    const states = key.meters.flatMap((meter) => meter.tightest(now) ?? []);
    const limit = decision.limit ?? states.sort((a, b) => a.remaining - b.remaining)[0];
    return {
      'x-simulator-key': key.name,
      ...(limit === undefined ? {} : this.flavour.limitHeaders(limit)),
    };
  }

  #apply(change: ProviderChange): void {
    if (change.change === 'recover') this.recover();
    else this.outage(change.how, change);
  }

  #decide(key: KeyState | undefined, now: number): Decision {
    if (this.#outage !== undefined) return { behaviour: this.#outage };
    if (key === undefined) return { behaviour: this.#options.unknownKey ?? refuse('rejected') };
    if (key.revoked) return { behaviour: refuse('rejected') };
    const refusals = key.meters.flatMap((meter) => meter.refusal(now) ?? []);
    const limiting = longestWait(refusals);
    if (limiting !== undefined) return this.#refuseForLimit(limiting);
    const exhausted = refusals.find((refusal) => refusal.kind === 'quota-exhausted');
    if (exhausted !== undefined) return { behaviour: exhausted.quota.then ?? refuse('quota-exhausted') };
    for (const meter of key.meters) meter.charge(now);
    return { behaviour: key.nextBehaviour(now - this.#startedAt) ?? this.#options.answer ?? ok() };
  }

  #refuseForLimit(limiting: LimitRefusal): Decision {
    const { limit, waitMs } = limiting;
    const states = this.#options.statesRetryAfter ?? true;
    const headers = states ? (this.flavour.retryHeaders?.(waitMs) ?? {}) : {};
    return {
      behaviour: refuse('rate-limited', { headers }),
      limit: { ...limit, remaining: 0, resetMs: waitMs },
      exceeded: limiting,
    };
  }

  #noteOvershoot({ key, record, decision }: Exchange): void {
    if (key === undefined || decision.exceeded === undefined) return;
    const { meter, limit, count } = decision.exceeded;
    record.overshoot = true;
    key.overshoots += 1;
    const overshoot = { at: record.at, key: key.name, meter, limit, count, request: record };
    this.ledger.overshoots.push(overshoot);
    this.hub.emit('overshoot', overshoot);
  }
}

type LimitRefusal = Extract<MeterRefusal, { kind: 'rate-limited' }>;

function longestWait(refusals: readonly MeterRefusal[]): LimitRefusal | undefined {
  return refusals.filter((refusal) => refusal.kind === 'rate-limited').sort((a, b) => b.waitMs - a.waitMs)[0];
}

function urlOf(target: string): URL {
  try {
    return new URL(target, 'http://simulator.invalid');
  } catch {
    return new URL('http://simulator.invalid/');
  }
}
