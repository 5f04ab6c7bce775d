import { expect, it } from 'vitest';
import { drained } from '#keymux/cli/key-drain.js';

it('gives up in time, and says what is still under way', async () => {
  const gateway = {
    ask: () =>
      Promise.resolve({
        retiring: [
          { id: 'acme/main', inFlight: 2 },
          { id: 'acme/2', inFlight: 5 },
        ],
      }),
  };
  await expect(drained(gateway as never, 'acme/main', 150)).rejects.toMatchObject({
    code: 'KEYMUX_TIMEOUT',
    message: 'After 0.15 s, 2 requests are still under way with the old acme/main; it gets no new ones.',
  });
});
