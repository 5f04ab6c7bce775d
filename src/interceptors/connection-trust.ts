/** What can make a connection lead elsewhere than its origin says. What is absent is not the case. */
export interface ConnectionFacts {
  /** The agent or dispatcher is of a make that keymux does not know, or the destination is only what the call said. */
  readonly isUnknownAgent?: boolean;
  /** The request goes to a proxy that reads it (no tunnel). */
  readonly isPlainProxy?: boolean;
  /** A Unix socket or a named pipe. */
  readonly hasSocketPath?: boolean;
  /** `createConnection`, or a connector function, of the application's own. */
  readonly hasOwnConnector?: boolean;
  /** A `lookup` of the application's own. */
  readonly hasLookup?: boolean;
  /** As given to TLS. */
  readonly rejectUnauthorized?: unknown;
  /** A `checkServerIdentity` of the application's own. */
  readonly hasIdentityCheck?: boolean;
  /** The name that the certificate is checked against, as given to TLS. */
  readonly servername?: unknown;
}

/**
 * Why a connection to this origin cannot be trusted with a real key, as a part of a sentence; undefined where it can.
 * `verifies`: whether TLS checks certificates unless told otherwise (`NODE_TLS_REJECT_UNAUTHORIZED`).
 */
export function judgeConnection(
  origin: string,
  facts: ConnectionFacts,
  verifies = process.env['NODE_TLS_REJECT_UNAUTHORIZED'] !== '0',
): string | undefined {
  if (facts.isUnknownAgent === true) return 'its agent is not one that keymux knows';
  if (facts.isPlainProxy === true) return 'a proxy would read it';
  if (facts.hasSocketPath === true) return '`socketPath` decides where it goes';
  if (facts.hasOwnConnector === true) return 'a function of the application connects it';
  if (facts.hasLookup === true) return 'a `lookup` of the application decides where it goes';
  return origin.startsWith('https:') ? judgeTls(origin, facts, verifies) : undefined;
}

function judgeTls(origin: string, facts: ConnectionFacts, verifies: boolean): string | undefined {
  const { rejectUnauthorized, servername } = facts;
  if (rejectUnauthorized === undefined ? !verifies : rejectUnauthorized !== true)
    return 'the check of certificates is switched off';
  if (facts.hasIdentityCheck === true)
    return 'a `checkServerIdentity` of the application replaces the usual one';
  if (typeof servername !== 'string' || servername === '') return undefined;
  const { hostname } = new URL(origin);
  return servername.toLowerCase() === hostname.replace(/^\[|\]$/g, '')
    ? undefined
    : '`servername` is not the host';
}
