import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromIoredis } from '#keymux/stores/redis/client-ioredis.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import type { RedisPlace } from '#keymux/stores/redis/store.js';
import { ContractCases } from '#keymux/testing/contracts/contract-cases.js';
import { chargeCases } from '#keymux/testing/contracts/store-charges.js';
import { fenceCases, leadershipCases } from '#keymux/testing/contracts/store-fleet.js';
import { leaseCases } from '#keymux/testing/contracts/store-permits.js';
import { healthCases } from '#keymux/testing/contracts/store-records.js';
import { sharingCases } from '#keymux/testing/contracts/store-sharing.js';
import { startCluster } from './redis-cluster-fixture.js';
import { startRedis } from './redis-server.js';
import { PATIENT } from './redis-store-fixture.js';

interface Place {
  readonly place: () => RedisPlace;
  stop(): Promise<void>;
}

const TOPOLOGIES: readonly { readonly name: string; readonly start: () => Promise<Place> }[] = [
  {
    name: 'over a cluster of three masters',
    start: async () => {
      const cluster = await startCluster();
      return { place: () => ({ url: cluster.url }), stop: () => cluster.stop() };
    },
  },
  {
    name: 'over the ioredis client of the program',
    start: async () => {
      const server = await startRedis();
      const theirs = new Redis(server.url);
      const stop = async (): Promise<void> => {
        theirs.disconnect();
        await server.stop();
      };
      return { place: () => ({ client: fromIoredis(theirs) }), stop };
    },
  },
];

const unexpected = (notice: unknown): void => expect.fail(JSON.stringify(notice));

describe.for(TOPOLOGIES)('a Redis store $name', ({ start }) => {
  let topology: Place;
  beforeAll(async () => {
    topology = await start();
  }, 60_000);
  afterAll(() => topology.stop());

  const cases = new ContractCases(
    { describe, it },
    (place) =>
      createRedisStore({ ...topology.place(), prefix: place, now: Date.now, onNotice: unexpected }, PATIENT),
    { kind: 'redis', shared: true },
  );
  healthCases(cases);
  leaseCases(cases);
  chargeCases(cases);
  leadershipCases(cases);
  fenceCases(cases);
  sharingCases(cases);
});
