/** The store of a run as its faults see it. */
import type { FaultKind } from './scenarios.js';

export interface StoreActor {
  /** The `store` section of the configuration. */
  readonly configuration: Readonly<Record<string, unknown>>;
  /** Begins a fault; resolves once it stands, with what ends it. Undefined: not a fault of this store. */
  begin(kind: FaultKind): Promise<() => Promise<void>> | undefined;
}

export const AT_ONCE_OVER = (): Promise<void> => Promise.resolve();
