import type { ResponseHead } from '#keymux/providers/response-head.js';

/** A response head for pure tests; header names in lower case. */
export function headOf(
  status: number,
  headers: Readonly<Record<string, string>> = {},
  request: { readonly method?: string } = {},
): ResponseHead {
  return { status, header: (name) => headers[name], ...request };
}
