/** A provider of our own on a real socket: it can fail in every way that real ones do, and it counts for itself. */
import type { Simulator, SimulatorOptions } from './simulator-api.js';
import { SimulatorServer } from './simulator-server.js';

/**
 * Starts a simulated provider on 127.0.0.1. Throws `KEYMUX_USAGE` where names of keys or buckets are ambiguous or
 * unknown, and what the system says if the port is taken.
 *
 * @example
 * await using simulator = await startSimulator({
 *   flavour: 'openai',
 *   keys: {
 *     'sk-one': { name: 'one', limits: [{ requests: 3, perMs: 1_000 }] },
 *     'sk-two': { name: 'two', first: [refuse(429, { retryAfterSeconds: 2 })] },
 *   },
 * });
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const server = new SimulatorServer(options);
  await server.listen(options.port ?? 0);
  return server;
}
