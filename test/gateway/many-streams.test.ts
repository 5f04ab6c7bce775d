/** The short form of the gateway's part of `npm run soak`. */
import { describe, expect, it } from 'vitest';
import { soakGateway } from '../../scripts/soak/gateway.mjs';

describe('the gateway with 500 open streams', () => {
  it(
    'stays small, stops for a slow reader alone, and keeps nothing of killed clients and providers',
    { timeout: 240_000 },
    async () => {
      const { lines, problems } = await soakGateway({ streams: 500, each: 40 });
      expect(problems).toEqual([]);
      expect(lines[0]).toContain('500 open streams');
    },
  );
});
