/** The gateway within a program of your own: one address that answers for every provider, in any language. */
import { assembleGateway } from './cli/assembled-gateway.js';
import type { Gateway } from './cli/assembled-gateway.js';
import type { ForwardingLimits } from './gateway/forwarder.js';
import type { ListeningOptions } from './gateway/server-options.js';
import { findTokens } from './gateway/token-file.js';
import { readTokens } from './gateway/tokens.js';
import type { KeyManager } from './manager/key-manager.js';

export type { Gateway } from './cli/assembled-gateway.js';
export type { Role } from './gateway/access.js';
export type { ForwardingLimits } from './gateway/forwarder.js';
export type { ListeningAddress } from './gateway/listening.js';
export type { GatewayLimits, ListeningOptions, ServerTls } from './gateway/server-options.js';

/** Which manager answers, who may ask, and where the gateway listens. */
export interface GatewayOptions extends ListeningOptions {
  /** It stays yours: shut it down after the gateway. */
  readonly manager: KeyManager;
  /**
   * Who may ask: `kmx_use_…`, `kmx_read_…`, `kmx_admin_…`, each with at least 24 random letters or digits. Default:
   * those of `KEYMUX_GATEWAY_TOKENS`, or of `gateway-tokens` in the user's state directory, as `keymux serve` has.
   */
  readonly tokens?: readonly string[];
  /** How long requests and answers may be and take. */
  readonly forwarding?: Partial<ForwardingLimits>;
}

/**
 * A gateway that answers `/<service or provider>/<path>` once `listen()` was called.
 *
 * ```ts
 * await using manager = createKeyManager();
 * await using gateway = createGateway({ manager, port: 0 });
 * const { origin } = await gateway.listen(); // OPENAI_BASE_URL = `${origin}/openai/v1`
 * ```
 *
 * Throws `KEYMUX_USAGE` where it would listen beyond this machine without TLS, and `KEYMUX_CONFIG_INVALID` or
 * `KEYMUX_CONFIG_UNREADABLE` where a token is none.
 */
export function createGateway(options: GatewayOptions): Gateway {
  const { tokens, ...rest } = options;
  const known =
    tokens === undefined ? findTokens(process.env).tokens : readTokens(tokens.join('\n'), '`tokens`');
  return assembleGateway({ ...rest, tokens: known });
}
