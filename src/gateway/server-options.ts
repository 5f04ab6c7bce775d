/** What can be said of the gateway's server, and what holds otherwise. */
import type { ServerOptions } from 'node:http';

/** What the gateway bears of all callers together. */
export interface GatewayLimits {
  /** Of the request line and all headers. Bytes. Default: 32 KiB. */
  readonly maxHeadBytes: number;
  /** Default: 128. */
  readonly maxHeaders: number;
  /** For the head of a request to come. Milliseconds. Default: 20,000. */
  readonly headMs: number;
  /** The longest pause within the body of a request. Milliseconds. Default: 60,000. */
  readonly bodyPauseMs: number;
  /** For a whole request to come, uploads included. Milliseconds. Default: an hour. */
  readonly requestMs: number;
  /** How long a connection is kept for the next request. Milliseconds. Default: 65,000. */
  readonly keepAliveMs: number;
  /** At once; more are closed as they come. Default: 20,000. */
  readonly maxConnections: number;
}

/** `keepAliveMs` is above the minute that load balancers keep theirs: whoever sends must be the one who closes. */
export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  maxHeadBytes: 32_768,
  maxHeaders: 128,
  headMs: 20_000,
  bodyPauseMs: 60_000,
  requestMs: 3_600_000,
  keepAliveMs: 65_000,
  maxConnections: 20_000,
};

/** The certificate that a gateway shows, in PEM. */
export interface ServerTls {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

/** Where a gateway listens, and what it bears. */
export interface ListeningOptions {
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** 0: any free one. Default: 4800. */
  readonly port?: number;
  readonly tls?: ServerTls;
  /** Listen beyond this machine without TLS. Default: false. */
  readonly insecureListen?: boolean;
  /** Names besides its address under which the gateway may be asked for; `*.example.com` stands for all below. */
  readonly allowedHosts?: readonly string[];
  readonly limits?: Partial<GatewayLimits>;
}

/** How often Node looks for requests that come too slowly. Milliseconds. */
const SLOWNESS_CHECK_MS = 5_000;

/** For `node:http`. */
export function settingsFor(limits: GatewayLimits): ServerOptions {
  return {
    maxHeaderSize: limits.maxHeadBytes,
    headersTimeout: limits.headMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.min(SLOWNESS_CHECK_MS, limits.headMs),
    insecureHTTPParser: false,
    // Looked at with the rest, and answered in the same form.
    requireHostHeader: false,
  };
}
