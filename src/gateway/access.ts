/** Who may do what. `use` sends requests, `read` looks, `admin` changes; `admin` may read, and each may only what it says. */
import type { IncomingHttpHeaders } from 'node:http';
import type { ForwardTarget } from './target.js';

export const ROLES = ['use', 'read', 'admin'] as const;

/** What a token may do: send requests, look, or change. */
export type Role = (typeof ROLES)[number];

export interface Caller {
  /** Empty: nobody we know. */
  readonly roles: ReadonlySet<Role>;
  /** For people: the name of the token, never the token. */
  readonly name: string;
  /** Set where the token is the virtual key of one provider: only that one may be asked with it. */
  readonly provider?: string;
}

export interface Access {
  /** `target`: its providers say in which further places a client may have put its token. */
  callerOf(headers: IncomingHttpHeaders, target?: ForwardTarget): Caller;
}
