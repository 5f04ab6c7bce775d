/** How the gateway tells of an error: one shape, in which SDKs find what they show and programs what they need. */
import * as z from 'zod';
import type { KeymuxError } from '../core/errors.js';

export const errorSchema = z.object({
  error: z
    .object({
      code: z.string().describe('Stable; each is explained in docs/troubleshooting.md.'),
      message: z.string().describe('What happened. Names keys by their id; never holds one.'),
      fix: z.string().describe('What to do next.'),
      retryAt: z.number().describe('When waiting helps: until when. Epoch milliseconds.').optional(),
      type: z.literal('keymux').describe('That no provider said this.'),
      param: z.null().describe('For clients that read an error as that of OpenAI.'),
    })
    .readonly(),
});

export type ErrorBody = z.infer<typeof errorSchema>;

type Told = Pick<KeymuxError, 'message' | 'fix' | 'retryAt'> & { readonly code: string };

export function errorBody({ code, message, fix, retryAt }: Told): ErrorBody {
  const when = retryAt === undefined ? {} : { retryAt };
  return { error: { message, type: 'keymux', code, param: null, fix, ...when } };
}
