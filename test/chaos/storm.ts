/** Performs the faults of a plan, each at its time, and takes down when they really began and ended. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Agent } from './agents.js';
import type { FaultSpan } from './evidence.js';
import type { Fault } from './plan.js';
import { nowMs } from './processes.js';
import type { Stage } from './stage.js';

export interface StormTools {
  readonly stage: Stage;
  readonly agents: ReadonlyMap<string, Agent>;
  readonly log: (text: string) => void;
  readonly signal: AbortSignal;
}

type End = () => Promise<void>;

/** Resolves when the last fault is over. Where one cannot be performed, the others are given up. */
export async function runFaults(faults: readonly Fault[], tools: StormTools): Promise<FaultSpan[]> {
  const startedAt = nowMs();
  const failure = new AbortController();
  const signal = AbortSignal.any([tools.signal, failure.signal]);
  const spans = faults.map((fault) =>
    runFault(fault, startedAt, { ...tools, signal }).catch((error: unknown) => {
      failure.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(spans);
  tools.signal.throwIfAborted();
  failure.signal.throwIfAborted();
  return Promise.all(spans);
}

async function runFault(fault: Fault, startedAt: number, tools: StormTools): Promise<FaultSpan> {
  const { kind, on, atMs, forMs } = fault;
  const { signal, log } = tools;
  await pause(atMs, undefined, { signal });
  const from = nowMs();
  const end = await begin(fault, tools);
  const name = `${kind}${on === undefined ? '' : ` ${on}`}`;
  log(`${seconds(from - startedAt)} ${name}${forMs === 0 ? '' : ` for ${seconds(forMs)}`}`);
  await pause(forMs, undefined, { signal });
  await end();
  const to = nowMs();
  if (forMs > 0) log(`${seconds(to - startedAt)} ${name}: over`);
  return { kind, ...(on === undefined ? {} : { on }), from, to };
}

async function begin(fault: Fault, { stage, agents }: StormTools): Promise<End> {
  const { kind, on = '' } = fault;
  const agent = agents.get(on);
  const simulate = async (first: string, last?: string): Promise<End> => {
    await stage.simulate(first, { key: on });
    return async () => {
      if (last !== undefined) await stage.simulate(last, { key: on });
    };
  };
  switch (kind) {
    case 'agent-killed':
      await agent?.kill();
      return async () => agent?.start();
    case 'agent-stopped':
      agent?.freeze();
      return async () => agent?.thaw();
    case 'clock-jumps':
      agent?.jump();
      return async () => {};
    case 'key-storm':
      return simulate('storm', 'restore');
    case 'key-revoked':
      return simulate('revoke');
    case 'key-exhausted':
      return simulate('exhaust', 'restore');
    case 'provider-down':
      return simulate('down', 'up');
    case 'partition':
      stage.hosts?.setStoreCable(on, false);
      return async () => stage.hosts?.setStoreCable(on, true);
    case 'store-read-only':
      await agent?.kill();
      agent?.start({ isReadOnly: true });
      return async () => {
        await agent?.kill();
        agent?.start();
      };
    default:
      return beginStoreFault(fault, stage);
  }
}

async function beginStoreFault({ kind }: Fault, { store }: Stage): Promise<End> {
  const begun = store.begin(kind);
  if (begun === undefined) throw new Error(`This store knows no fault ${kind}.`);
  return begun;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
