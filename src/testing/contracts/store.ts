/** What every store keeps to, as tests that run in vitest, jest and node:test alike. */
import { ContractCases } from './contract-cases.js';
import type { ContractHarness, StoreContractOptions, StoreMaker } from './contract-cases.js';
import { cautionCases, chargeCases } from './store-charges.js';
import { fenceCases, fleetSharingCases, leadershipCases, memberCases } from './store-fleet.js';
import { badInputCases, lifeCycleCases } from './store-life.js';
import { leaseCases, settlementCases } from './store-permits.js';
import { disabledFlagsCases, healthCases, usageCases } from './store-records.js';
import { reunionCases } from './store-reunion.js';
import { sharingCases } from './store-sharing.js';

export type { ContractHarness, StoreContractOptions, StoreMaker } from './contract-cases.js';

/** Registers the suite. Nothing in it depends on the order in which the runner takes the tests. */
export function storeContract(
  harness: ContractHarness,
  makeStore: StoreMaker,
  options: StoreContractOptions,
): void {
  const cases = new ContractCases(harness, makeStore, options);
  harness.describe(`a ${options.kind} store`, () => {
    lifeCycleCases(cases);
    healthCases(cases);
    disabledFlagsCases(cases);
    usageCases(cases);
    leaseCases(cases);
    settlementCases(cases);
    chargeCases(cases);
    cautionCases(cases);
    memberCases(cases);
    leadershipCases(cases);
    fenceCases(cases);
    reunionCases(cases);
    badInputCases(cases);
    if (options.joins ?? options.shared) {
      sharingCases(cases);
      fleetSharingCases(cases);
    }
  });
}
