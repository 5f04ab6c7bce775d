/** One route of the API: what it takes, what it answers and what it does. The document is made from the same. */
import type * as z from 'zod';
import type { AuditView } from '../manager/audit-view.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Observation } from '../manager/observation.js';
import type { Caller } from './access.js';

export interface ApiContext {
  readonly manager: KeyManager;
  readonly observation: Observation;
  /** Absent where no audit trail is kept. */
  readonly audit?: AuditView | undefined;
}

interface Input<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
}

interface RouteFacts {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Behind `/-`, such as `/api/keys/{provider}/{id}`; what stands in braces is a name in `params`. */
  readonly path: string;
  readonly role: 'read' | 'admin';
  /** Unique. */
  readonly operationId: string;
  readonly summary: string;
  /** Default: 200. */
  readonly status?: 200 | 201 | 202;
  /** Statuses of refusals, besides those that every route has. */
  readonly refusals?: readonly number[];
}

export interface ApiRoute extends RouteFacts {
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly answer: z.ZodType;
  readonly work: (input: Input<unknown, unknown, unknown>, context: ApiContext, caller: Caller) => unknown;
}

/** Ties the types of what a route takes and answers to its schemas. */
export function route<
  Answer extends z.ZodType,
  Params extends z.ZodObject = z.ZodObject<Record<string, never>>,
  Query extends z.ZodObject = z.ZodObject<Record<string, never>>,
  Body extends z.ZodType = z.ZodUndefined,
>(
  definition: RouteFacts & {
    readonly params?: Params;
    readonly query?: Query;
    readonly body?: Body;
    readonly answer: Answer;
    readonly work: (
      input: Input<z.output<Params>, z.output<Query>, z.output<Body>>,
      context: ApiContext,
      caller: Caller,
    ) => z.input<Answer> | Promise<z.input<Answer>>;
  },
): ApiRoute {
  // What reaches `work` was parsed by these very schemas.
  return definition as unknown as ApiRoute;
}
