/**
 * Tests without providers: simulated ones on real sockets that fail on command and count for themselves, a clock and
 * chance that do as they are told, and the contract that every store has to keep.
 */
export { storeContract } from './testing/contracts/store.js';
export type { ContractHarness, StoreContractOptions, StoreMaker } from './testing/contracts/store.js';
export { formatEvent, parseEvents } from './testing/event-stream.js';
export type { ParsedEvent } from './testing/event-stream.js';
export { createFakeClock, seededRandom } from './testing/fake-clock.js';
export type { FakeClock } from './testing/fake-clock.js';
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
