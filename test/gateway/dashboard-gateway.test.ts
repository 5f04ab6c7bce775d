import { createGateway } from '#keymux/gateway.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openBoard, stage, useBrowser } from './dashboard-stage.js';
import type { Stage } from './dashboard-stage.js';

const visit = useBrowser();

const TOKENS = ['use', 'read', 'admin'].map((role) => `kmx_${role}_${'t'.repeat(30)}`);
const [USE = '', READ = '', ADMIN = ''] = TOKENS;

async function listen({ manager }: Stage, port = 0) {
  const gateway = createGateway({ manager, tokens: TOKENS, port });
  onTestFinished(() => gateway.close(0));
  return { gateway, ...(await gateway.listen()) };
}

describe('the dashboard of a whole gateway', () => {
  it('shows the failover of a request that came through the gateway', async () => {
    const behind = await stage();
    const { origin } = await listen(behind);
    const { page, faults } = await visit();
    await page.goto(`${origin}/-/dashboard`);
    await page.getByLabel('Token of the gateway').fill(ADMIN);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('#connection', { hasText: 'live, admin' }).waitFor();

    const response = await fetch(`${origin}/chat/v1/things`, { headers: { authorization: `Bearer ${USE}` } });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-keymux-key')).toBe('acme/2');
    expect(behind.simulator.requests.map(({ key }) => key)).toEqual(['k1', 'k2']);

    await page.locator('#news li', { hasText: 'chat: acme/main → acme/2' }).waitFor();
    const id = response.headers.get('x-request-id') ?? '';
    await page.locator('#why').getByRole('button', { name: id, exact: true }).click();
    await page.locator('#panel h3', { hasText: 'Attempt 2: acme/2' }).waitFor();
    expect(faults).toEqual([]);
  });

  it('knows a reading token from an administrator’s', async () => {
    const { origin } = await listen(await stage());
    const { page } = await visit();
    await page.goto(`${origin}/-/dashboard/#token=${READ}`);
    await page.locator('#connection', { hasText: 'live, read-only' }).waitFor();
  });

  it('outlives the gateway and finds the next one', async () => {
    const behind = await stage();
    const { gateway, origin, port } = await listen(behind);
    const { page } = await visit();
    await openBoard(page, { origin }, 'admin', ADMIN);
    await gateway.close(0);
    await page.locator('#trouble', { hasText: 'The gateway does not answer.' }).waitFor();
    expect(await page.locator('#keys tbody tr').count()).toBe(3);
    await page.locator('#keys').getByRole('button', { name: 'acme/2' }).click();
    await page.locator('#panel-trouble', { hasText: 'The gateway does not answer.' }).waitFor();
    await page.keyboard.press('Escape');

    await listen(behind, port);
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    await behind.failOver();
    await page.locator('#news li', { hasText: 'acme/main → acme/2' }).waitFor();
  });
});
