/** Google's words, as far as its client reads them. */
import { formatEvent } from '#keymux/testing/event-stream.js';
import type { Flavour } from '#keymux/testing/simulator-flavour.js';
import { FLAVOURS } from '#keymux/testing/simulator-flavours.js';

function generated(text: string): object {
  return { candidates: [{ content: { role: 'model', parts: [{ text }] }, finishReason: 'STOP' }] };
}

export const gemini: Flavour = {
  ...FLAVOURS.generic,
  auth: [{ in: 'header', name: 'x-goog-api-key' }],
  success: ({ keyName }) => generated(`served by ${keyName}`),
  events: ({ keyName }) => ['served ', 'by ', keyName].map((text) => formatEvent(generated(text))),
  refusal(kind, _request, status) {
    const isKey = kind === 'rejected';
    const details = isKey
      ? [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }]
      : [];
    const code = isKey ? 400 : (status ?? 429);
    return {
      status: code,
      body: { error: { code, message: `The request was refused: ${kind}`, status: 'REFUSED', details } },
    };
  },
};
