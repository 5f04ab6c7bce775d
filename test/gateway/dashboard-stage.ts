/** The dashboard as people have it: a real browser, a gateway's own routes, and providers that refuse keys. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dashboardAsset } from '#keymux/gateway/dashboard/assets.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import type { KeyScript } from '#keymux/testing/script-key.js';
import { ok, refuse } from '#keymux/testing/script.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { acmeEnv, memoryStore } from '../manager/acme.js';
import { CANARY, ownServer } from './own-server.js';
import type { OwnServer } from './own-server.js';

export interface Stage extends OwnServer {
  readonly simulator: Simulator;
  /** Sends a request for the service `chat`; its first key is refused, so that it goes on with the second. */
  failOver(): Promise<void>;
}

/** Texts of keys, each with what the provider does with it. The first one is `acme/main`, then `acme/2` …. */
export type Scripts = readonly KeyScript[];

export const ONE_LIMITED: Scripts = [
  { always: refuse('rate-limited', { retryAfterSeconds: 3_600 }) },
  { always: ok() },
  { always: refuse('rejected') },
];

export async function stage(scripts: Scripts = ONE_LIMITED, options: KeyManagerOptions = {}): Promise<Stage> {
  const texts = scripts.map((_, index) => `${CANARY}-${index + 1}`);
  const simulator = await startSimulator({
    keys: Object.fromEntries(
      texts.map((text, index) => [text, { name: `k${index + 1}`, ...scripts[index] }]),
    ),
  });
  onTestFinished(() => simulator.close());
  const manager = new KeyManager({
    env: acmeEnv(texts),
    cwd: '/nonexistent',
    config: {
      services: { chat: { providers: ['acme'] } },
      providers: {
        acme: { baseUrl: simulator.origin, env: ['ACME_API_KEY'], limits: [{ requests: 40, per: 'minute' }] },
      },
    } as NonNullable<KeyManagerOptions['config']>,
    store: memoryStore(),
    random: () => 0,
    ...options,
  });
  onTestFinished(() => manager.shutdown());
  const server = await ownServer({ manager, dashboard: dashboardAsset });
  return {
    ...server,
    simulator,
    failOver: async () => {
      const before = simulator.requests.length;
      const response = await manager.fetch('chat', '/v1/things');
      await response.text();
      const [first, second] = simulator.requests.slice(before).map(({ key }) => key);
      if (response.status !== 200 || first !== 'k1' || second !== 'k2')
        throw new Error(`There was no failover: ${response.status} ${String(first)} ${String(second)}`);
    },
  };
}

export interface Visit {
  readonly page: Page;
  /** What the page said on its console that it should not have to: refusals by the policy, uncaught errors. */
  readonly faults: string[];
}

/** A browser for all tests of a file. */
export function useBrowser(): (options?: BrowserContextOptions) => Promise<Visit> {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  }, 60_000);
  afterAll(() => browser.close());
  return async (options) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && /Content Security Policy|Uncaught/.test(message.text())) {
        faults.push(message.text());
      }
    });
    return { page, faults };
  };
}

/** Opens the board with a token of that role; with the routes alone, the token is the name of its role. */
export async function openBoard(
  page: Page,
  { origin }: Pick<Stage, 'origin'>,
  role: 'admin' | 'read' = 'admin',
  token: string = role,
): Promise<void> {
  await page.goto(`${origin}/-/dashboard/#token=${token}`);
  await page.locator('#connection', { hasText: 'live' }).waitFor();
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/**
 * What is wrong for people who cannot see, point or tell colours apart: rules and the places that break them. `rule`:
 * the only one that is looked at.
 */
export async function accessibilityFaults(page: Page, rule?: string): Promise<string[]> {
  // By the debugging protocol, which the page's policy does not bind.
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(axe);
  return page.evaluate(async (only) => {
    interface Found {
      readonly violations: readonly {
        id: string;
        nodes: readonly { target: unknown; failureSummary?: string }[];
      }[];
    }
    const { axe } = globalThis as unknown as { axe: { run(options: object): Promise<Found> } };
    const found = await axe.run({
      resultTypes: ['violations'],
      ...(only === undefined ? {} : { runOnly: [only] }),
    });
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${String(target)}: ${failureSummary ?? ''}`),
    );
  }, rule);
}
