/** The dashboard of three processes on one Redis, on a day on which much goes wrong. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ok, refuse } from '#keymux/testing/script.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { Page } from 'playwright-core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CANARY, Project } from '../cli/keymux-process.js';
import type { Running } from '../cli/keymux-process.js';
import { startRedis } from '../stores/redis-server.js';
import type { RedisServer } from '../stores/redis-server.js';
import { accessibilityFaults, openBoard, useBrowser } from './dashboard-stage.js';

const visit = useBrowser();

const MEMBER = fileURLToPath(new URL('./programs/fleet-member.mjs', import.meta.url));
const TOKENS = { use: `kmx_use_${'u'.repeat(30)}`, admin: `kmx_admin_${'a'.repeat(30)}` };
/** Where pictures are put, for people to look at. */
const PICTURES = process.env['KEYMUX_TEST_PICTURES'];

interface Fleet {
  readonly origin: string;
  readonly redis: RedisServer;
  readonly members: readonly Running[];
  /** Sends one request through the gateway; its status. */
  ask(service: string): Promise<number>;
}

async function fleet(): Promise<Fleet> {
  const [good, down] = await Promise.all([
    provider({
      one: refuse('rejected'),
      two: refuse('rate-limited', { retryAfterSeconds: 900 }),
      three: ok(),
    }),
    provider({ only: refuse('overloaded') }),
  ]);
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const project = new Project(
    { 'keymux.config.yaml': configFor(good, down) },
    {
      REDIS_URL: redis.url,
      ACME_API_KEYS: ['one', 'two', 'three'].map((name) => `${CANARY}-${name}`).join(','),
      BROKEN_API_KEY: `${CANARY}-only`,
      KEYMUX_GATEWAY_TOKENS: Object.values(TOKENS).join(','),
    },
  );
  const members = [1, 2].map(() => project.startProgram(process.execPath, [MEMBER]));
  await Promise.all(members.map(({ saw }) => saw('ready')));
  const origin = await originOf(project.start(['serve', '--port', '0']));
  return {
    origin,
    redis,
    members,
    ask: async (service) => {
      const headers = { authorization: `Bearer ${TOKENS.use}` };
      const response = await fetch(`${origin}/${service}/v1/things`, { headers });
      await response.arrayBuffer();
      return response.status;
    },
  };
}

/** By the names of its keys. */
async function provider(keys: Readonly<Record<string, ReturnType<typeof ok>>>): Promise<Simulator> {
  const scripts = Object.entries(keys).map(([name, always]) => [`${CANARY}-${name}`, { name, always }]);
  const simulator = await startSimulator({ keys: Object.fromEntries(scripts) as never });
  onTestFinished(() => simulator.close());
  return simulator;
}

function configFor(good: Simulator, down: Simulator): string {
  return `
services:
  chat: { providers: [acme] }
  news: { providers: [broken, acme] }
providers:
  acme:
    baseUrl: ${good.origin}
    env: [ACME_API_KEY]
    limits: [{ requests: 400, per: minute }, { requests: 5000, per: day }]
  broken: { baseUrl: ${down.origin}, env: [BROKEN_API_KEY] }
store: { type: redis, url: env:REDIS_URL }
`;
}

async function originOf({ process: child, ended }: Running): Promise<string> {
  let said = '';
  child.stderr?.on('data', (text: string) => (said += text));
  while (!said.includes('tokens:')) {
    await Promise.race([once(child.stderr ?? child, 'data'), ended]);
    if (child.exitCode !== null) throw new Error(said);
  }
  return /listens on (\S+)/.exec(said)?.[1] ?? '';
}

async function picture(page: Page, name: string, fullPage = true): Promise<void> {
  if (PICTURES !== undefined) await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage });
}

/** Nothing is wider than the window, so that nobody has to move the page sideways. */
async function overflowOf(page: Page): Promise<number> {
  return page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

describe('the dashboard of a fleet', () => {
  it('shows its processes, costs, an open circuit, what is left, and a store that is lost', async () => {
    const { origin, redis, members, ask } = await fleet();
    for (const [index, member] of members.entries()) {
      member.process.stdin?.write(`${JSON.stringify({ service: 'chat', costUsd: 1.25 * (index + 1) })}\n`);
      await member.saw('used acme/');
    }
    expect(await ask('chat')).toBe(200);
    const { page, faults } = await visit();
    await openBoard(page, { origin }, 'admin', TOKENS.admin);
    const broken = page.locator('#providers tbody tr', { hasText: 'broken' });
    while (!(await broken.innerText()).includes('open')) expect(await ask('news')).toBe(200);

    await page.locator('#summary', { hasText: '3 processes' }).waitFor();
    await page.locator('#fleet tbody tr').nth(2).waitFor();
    expect(await page.locator('#fleet tbody tr').count()).toBe(3);
    const pids = await page.locator('#fleet tbody').first().innerText();
    for (const { process: child } of members) expect(pids).toContain(String(child.pid));
    await page.locator('#usage tbody tr', { hasText: 'acme' }).filter({ hasText: '$3.75' }).waitFor();
    const third = page.locator('#keys tbody tr', { hasText: 'acme/keys-3' });
    await third.getByText(/of 400 per minute/).waitFor();
    await third.getByText(/of 5,000 per day/).waitFor();
    await page.locator('#news li', { hasText: 'broken' }).first().waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await picture(page, 'fleet-light');

    await page.locator('#scheme').selectOption('dark');
    expect(await accessibilityFaults(page)).toEqual([]);
    await picture(page, 'fleet-dark');
    await page.setViewportSize({ width: 360, height: 780 });
    expect(await overflowOf(page)).toBeLessThanOrEqual(0);
    await picture(page, 'fleet-phone-dark');
    await page.locator('#scheme').selectOption('light');
    await third.getByRole('button', { name: 'acme/keys-3' }).click();
    await page.locator('#panel').getByRole('button', { name: 'Disable' }).click();
    await page.locator('#confirm').waitFor();
    await picture(page, 'fleet-phone-confirm', false);
    await page.locator('#confirm-no').click();
    await page.keyboard.press('Escape');
    await page.setViewportSize({ width: 1280, height: 900 });

    await redis.stop();
    expect(await ask('chat')).toBe(200);
    await page.locator('#summary', { hasText: 'lost' }).waitFor();
    await page.locator('#usage', { hasText: 'only what this process knows' }).waitFor();
    await page.locator('#fleet', { hasText: '3 processes shared it when it last did' }).waitFor();
    expect(await page.locator('#fleet').innerText()).not.toContain('with nobody');
    expect(await accessibilityFaults(page)).toEqual([]);
    await picture(page, 'fleet-degraded');
    expect(faults).toEqual([]);
    expect((await page.content()).includes(CANARY), 'a key in the page').toBe(false);
  }, 90_000);

  it('says what to do where nothing is there yet', async () => {
    const project = new Project(
      { 'keymux.config.yaml': 'store: { type: memory }\n' },
      {
        KEYMUX_GATEWAY_TOKENS: Object.values(TOKENS).join(','),
      },
    );
    const origin = await originOf(project.start(['serve', '--port', '0']));
    const { page, faults } = await visit({ viewport: { width: 360, height: 780 } });
    await openBoard(page, { origin }, 'admin', TOKENS.admin);
    await page.locator('#keys', { hasText: 'No keys were found.' }).waitFor();
    expect(await page.locator('#summary').innerText()).toContain('none found');
    expect(await page.locator('#summary').innerText()).not.toMatch(/all well|each has a key/);
    expect(await overflowOf(page)).toBeLessThanOrEqual(0);
    await picture(page, 'empty-phone');
    await page.setViewportSize({ width: 1280, height: 900 });
    await picture(page, 'empty');
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(faults).toEqual([]);
  });
});
