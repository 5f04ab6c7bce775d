/** keymux: holds every API key that an application is entitled to and answers each request with one that works. */
export { ERROR_CODES, KeymuxError } from './core/errors.js';
export type { ErrorCode } from './core/errors.js';
export type { Decision, DecisionRecord, RequestExplanation } from './core/decision.js';
export type { DeadlineSource, Outcome, OutcomeKind, Scope } from './core/outcome.js';
export type { Clock, Logger, Random, Store } from './core/ports.js';
export type { StrategyName } from './core/select.js';
export type { FileContent as KeymuxConfig } from './config/file-content.js';
export type { Configuration, VaultDefinition } from './config/configuration.js';
export type { SecretSource, SecretValue } from './config/secret-source.js';
export { SecureConfigManager } from './config/secure-config-manager.js';
export type { SecureConfigOptions } from './config/secure-config-manager.js';
export type { Secret } from './core/secret.js';
export { MinimalMultiKeyManager } from './interceptors/process-manager.js';
export { KeyManager } from './manager/key-manager.js';
export type { AcquireOptions, Resolution } from './manager/key-manager.js';
export type { Lease } from './manager/lease.js';
export type { Adapters, RunOptions } from './manager/library-calls.js';
export type { EventName, KeymuxEvents, Listener } from './manager/events.js';
export type {
  Explanation,
  FleetSnapshot,
  KeySnapshot,
  ProviderSnapshot,
  ServiceSnapshot,
  Snapshot,
} from './manager/inspection.js';
export type { KeyManagerOptions } from './manager/options.js';
export { PHASES } from './manager/phases.js';
export type { PhaseName } from './manager/phases.js';
export { createKeyManager, getApiManager, keyManagers, runWithKeyManager } from './manager/registry.js';
export { createMemoryStore } from './stores/memory.js';
