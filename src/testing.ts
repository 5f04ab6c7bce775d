/**
 * Tests without providers: a manager of its own for each test, simulated providers on real sockets that fail on command
 * and count for themselves, stores that fail at one call, a clock and chance that do as they are told, the contracts of
 * stores and providers, and recorded incidents that happen again.
 */
export { assertAttempts, assertNoHarm } from './testing/assertions.js';
export type { AttemptsOptions, ExpectedAttempt, Simulators } from './testing/assertions.js';
export { providerContract } from './testing/contracts/provider.js';
export type { ProviderContractOptions, RecordedAnswer } from './testing/contracts/provider.js';
export { storeContract } from './testing/contracts/store.js';
export type { ContractHarness, StoreContractOptions, StoreMaker } from './testing/contracts/store.js';
export { formatEvent, parseEvents } from './testing/event-stream.js';
export type { ParsedEvent } from './testing/event-stream.js';
export { createFakeClock, seededRandom } from './testing/fake-clock.js';
export type { FakeClock } from './testing/fake-clock.js';
export { faultyStore, STORE_OPERATIONS } from './testing/faulty-store.js';
export type {
  FaultyStore,
  FaultyStoreOptions,
  StoreFault,
  StoreOperation,
  StoreQuestions,
} from './testing/faulty-store.js';
export { readIncident } from './testing/incident.js';
export type {
  Incident,
  IncidentAttempt,
  IncidentRequest,
  PriorState,
  Recording,
} from './testing/incident.js';
export { replayIncident } from './testing/incident-replay.js';
export type { IncidentReplay, ReplayedRequest, ReplayOptions } from './testing/incident-replay.js';
export { startProviderSimulator, tripRule } from './testing/provider-simulator.js';
export type { ProviderSimulatorOptions, TripOptions } from './testing/provider-simulator.js';
export { maxInAnyWindow } from './testing/rolling-window.js';
export {
  echo,
  malformedChunk,
  ok,
  redirect,
  refuse,
  reply,
  reset,
  silence,
  softError,
  stream,
  streamError,
} from './testing/script.js';
export type {
  Action,
  AnswerOptions,
  Behaviour,
  BodyOptions,
  RefusalKind,
  RefuseOptions,
  RequestFacts,
  ResetMoment,
  StreamOptions,
} from './testing/script.js';
export { at, behave, limit, outage, recover, restore, revoke, times, until } from './testing/script-key.js';
export type {
  Allowance,
  KeyChange,
  KeyScript,
  OutageKind,
  OutageOptions,
  ProviderChange,
  Quota,
  RateLimit,
  Step,
  Timed,
} from './testing/script-key.js';
export { createCertificate } from './testing/self-signed-certificate.js';
export type { Certificate } from './testing/self-signed-certificate.js';
export { startSimulator } from './testing/simulator.js';
export type { Simulator, SimulatorOptions, WaitOptions } from './testing/simulator-api.js';
export type { SimulatorEvents } from './testing/simulator-events.js';
export type { Flavour, FlavourRefusal, FlavourRequest, LimitState } from './testing/simulator-flavour.js';
export type { FlavourName } from './testing/simulator-flavours.js';
export type { SimulatedKey } from './testing/simulator-key.js';
export type { Execution, Overshoot, RequestRecord } from './testing/simulator-records.js';
export { isolateTests, resetKeymux } from './testing/test-isolation.js';
export type { TestHooks } from './testing/test-isolation.js';
export { createTestManager } from './testing/test-manager.js';
export type { TestManager, TestManagerOptions } from './testing/test-manager.js';
export type { TestProvider } from './testing/test-providers.js';
