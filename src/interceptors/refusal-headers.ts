import type { Refusal } from '../manager/refusal.js';

/** The headers of a refusal as an answer of a server would carry them. */
export function wireHeaders({ headers, body }: Refusal): Record<string, string> {
  return {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  };
}
