import { KeymuxError } from '../core/errors.js';
import type { Lease } from './lease.js';

/** Which limit of `provider.stream` was exceeded: `firstByteMs`, `idleMs` or `maxBytes`. */
export type Stall = 'first-byte' | 'idle' | 'too-long';

/** What the application gets where an answer exceeded a limit and no other attempt may be made. */
export function stallError({ keyId, member }: Lease, kind: Stall): KeymuxError {
  const { id, stream } = member.provider;
  switch (kind) {
    case 'first-byte':
      return new KeymuxError(
        'KEYMUX_TIMEOUT',
        `${id} sent no byte of an answer within ${stream.firstByteMs} ms (key ${keyId}).`,
        { fix: `Raise \`providers.${id}.stream.firstByteMs\` if its answers take longer.` },
      );
    case 'idle':
      return new KeymuxError(
        'KEYMUX_TIMEOUT',
        `An answer of ${id} paused for more than ${stream.idleMs} ms (key ${keyId}).`,
        { fix: `Raise \`providers.${id}.stream.idleMs\` if its pauses are longer.` },
      );
    case 'too-long':
      return new KeymuxError(
        'KEYMUX_ANSWER_INCOMPLETE',
        `An answer of ${id} is longer than the ${stream.maxBytes} bytes that may be collected (key ${keyId}).`,
        {
          fix: `Raise \`providers.${id}.stream.maxBytes\`, or set its \`stream.commit\` to \`first-event\`.`,
        },
      );
  }
}

/** The same for `Exchange.afterError` and `Exchange.broken`, in words. */
export const STALL_EVIDENCE: Readonly<Record<Stall, string>> = {
  'first-byte': 'no byte of an answer in time',
  idle: 'an answer that stalled',
  'too-long': 'an answer longer than may be collected',
};
