/** The gateway as `keymux serve` and programs have it: all its parts around one key manager. */
import { dashboardAsset } from '../gateway/dashboard/assets.js';
import { createForwarding } from '../gateway/forwarder.js';
import type { ForwardingLimits } from '../gateway/forwarder.js';
import type { ListeningAddress } from '../gateway/listening.js';
import { createOwnRoutes } from '../gateway/own-routes.js';
import type { ListeningOptions } from '../gateway/server-options.js';
import type { GatewayServer } from '../gateway/server.js';
import { createServer } from '../gateway/server.js';
import { createAccess } from '../gateway/token-access.js';
import type { GatewayToken } from '../gateway/tokens.js';
import type { KeyManager } from '../manager/key-manager.js';
import { packageVersion } from '../manager/package-version.js';
import type { Alerts } from '../observe/alerts.js';
import { startAlerts } from '../observe/alerts.js';
import { watchAnomalies } from '../observe/anomalies.js';
import type { AnomalyDetection } from '../observe/anomalies.js';
import { startConfiguredAudit } from '../observe/audit.js';
import { createObservation } from '../observe/observation.js';

export interface GatewayOptions extends ListeningOptions {
  readonly manager: KeyManager;
  readonly tokens: readonly GatewayToken[];
  /** Of requests and providers. */
  readonly forwarding?: Partial<ForwardingLimits>;
}

/** A gateway, from `createGateway` until it is closed. */
export interface Gateway extends AsyncDisposable {
  /** Rejects with `KEYMUX_USAGE` where it cannot listen there. */
  listen(): Promise<ListeningAddress>;
  /**
   * Takes no more connections, lets requests under way end, then cuts them off. The manager is left as it is. May be
   * called twice. `graceMs`: default 10,000.
   */
  close(graceMs?: number): Promise<void>;
}

/** Throws `KEYMUX_USAGE` where it must not listen there, and what `startConfiguredAudit` throws. */
export function assembleGateway(options: GatewayOptions): Gateway {
  const { manager, tokens, forwarding: limits = {} } = options;
  const audit = startConfiguredAudit(manager);
  const observation = createObservation(manager);
  let server: GatewayServer | undefined;
  let alerts: Alerts | undefined;
  let anomalies: AnomalyDetection | undefined;
  const own = createOwnRoutes({
    manager,
    observation,
    audit,
    dashboard: dashboardAsset,
    version: packageVersion(),
    isDraining: () => server?.isDraining === true,
  });
  const forwarding = createForwarding({ manager, limits });
  try {
    server = createServer({ manager, access: createAccess(manager, tokens), own, forwarding }, options);
  } catch (error) {
    observation.close();
    audit?.stop();
    throw error;
  }
  const door = server;
  const close = async (graceMs?: number): Promise<void> => {
    await door.close(graceMs);
    await alerts?.stop();
    await anomalies?.stop();
    observation.close();
    audit?.stop();
  };
  return {
    async listen() {
      const address = await door.listen();
      anomalies = watchAnomalies(manager);
      alerts = startAlerts(manager, { dashboardUrl: `${address.origin}/-/dashboard/` });
      return address;
    },
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}
