import { describe, expect, it } from 'vitest';
import { accessibilityFaults, openBoard, stage, useBrowser } from './dashboard-stage.js';

const visit = useBrowser();
const PHONE = { width: 360, height: 740 };

describe('the dashboard for everybody', () => {
  for (const viewport of [{ width: 1280, height: 900 }, PHONE]) {
    it(`breaks no rule of accessibility in either colours, ${viewport.width} pixels wide`, async () => {
      const gateway = await stage();
      await gateway.failOver();
      const { page, faults } = await visit({ viewport, reducedMotion: 'reduce' });
      const expectNoFaults = async () => {
        await page.emulateMedia({ colorScheme: 'light' });
        expect(await accessibilityFaults(page)).toEqual([]);
        // Nothing else of a page depends on its colours.
        await page.emulateMedia({ colorScheme: 'dark' });
        expect(await accessibilityFaults(page, 'color-contrast')).toEqual([]);
      };
      await page.goto(`${gateway.origin}/-/dashboard/`);
      await page.locator('#login').waitFor();
      await expectNoFaults();

      await openBoard(page, gateway);
      await page.locator('#news li').first().waitFor();
      await expectNoFaults();
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(viewport.width);

      await page.getByRole('button', { name: 'acme/main' }).first().click();
      await page.locator('#panel li').first().waitFor();
      await expectNoFaults();
      await page.getByRole('button', { name: 'Reset' }).click();
      await expectNoFaults();
      expect(faults).toEqual([]);
    });
  }

  it('is used by keyboard alone', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await page.goto(`${gateway.origin}/-/dashboard/`);
    await page.locator('#token:focus').waitFor();
    await page.keyboard.type('admin');
    await page.keyboard.press('Enter');
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    await page.locator('#keys').getByRole('button', { name: 'acme/2' }).waitFor();

    const focused = async () => String(await page.evaluate('document.activeElement.textContent.trim()'));
    const tabTo = async (text: string) => {
      for (let steps = 0; steps < 60; steps += 1) {
        await page.keyboard.press('Tab');
        if ((await focused()) === text) return;
      }
      throw new Error(`The focus never came to "${text}".`);
    };
    await page.evaluate('document.activeElement.blur()');
    await tabTo('acme/2');
    const outline = 'getComputedStyle(document.activeElement).outlineStyle';
    expect(await page.evaluate(outline)).toBe('solid');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: /^acme\// }).waitFor();
    await tabTo('Disable');
    await page.keyboard.press('Enter');
    await page.locator('#confirm').waitFor();
    expect(await focused()).toBe('Cancel');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('#confirm').waitFor({ state: 'hidden' });
    expect(gateway.manager.inspect().keys.filter(({ state }) => state === 'disabled')).toHaveLength(1);
    await page.keyboard.press('Escape');
    await page.locator('#panel').waitFor({ state: 'hidden' });
  });

  it('lets the head be skipped', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await openBoard(page, gateway);
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    await page.locator('#content:focus').waitFor();
  });

  it('takes the colours that were chosen, and keeps them', async () => {
    const gateway = await stage();
    const { page } = await visit({ colorScheme: 'light' });
    await openBoard(page, gateway);
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const light = await ground();
    await page.getByLabel('Colours').selectOption('dark');
    const dark = await ground();
    expect(dark).not.toBe(light);
    await page.reload();
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    expect(await ground()).toBe(dark);
    await page.getByLabel('Colours').selectOption('system');
    expect(await ground()).toBe(light);
  });
});

describe('the dashboard in trouble', () => {
  it('says what to do where JavaScript is off', async () => {
    const gateway = await stage();
    const { page } = await visit({ javaScriptEnabled: false });
    await page.goto(`${gateway.origin}/-/dashboard/`);
    const text = await page.locator('main').innerText();
    expect(text).toContain('This page needs JavaScript');
    expect(text).toContain('npx keymux status --watch');
    expect(text).not.toContain('Starting');
  });

  it('says that the gateway is gone and how old the figures are, and comes back by itself', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await openBoard(page, gateway);
    await page.context().setOffline(true);
    await page.locator('#trouble', { hasText: 'The gateway does not answer.' }).waitFor();
    await page.locator('#trouble', { hasText: /What you see is from \d\d:\d\d:\d\d/ }).waitFor();
    expect(await page.locator('#connection').innerText()).toBe('✗ not connected');
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.evaluate("scrollTo({ top: 2000, behavior: 'instant' })");
    const place = await page.locator('#trouble').boundingBox();
    expect(place?.y).toBeGreaterThan(0);

    await page.context().setOffline(false);
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    expect(await page.locator('#trouble').innerText()).toBe('');

    await gateway.failOver();
    await page.locator('#news li', { hasText: 'acme/main → acme/2' }).waitFor();
  });

  it('tells a wrong token from one that may not look, and asks again', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await page.goto(`${gateway.origin}/-/dashboard/#token=wrong`);
    await page.locator('#login-problem', { hasText: 'does not know this token' }).waitFor();
    expect(new URL(page.url()).hash).toBe('');
    expect(await page.evaluate('sessionStorage.length')).toBe(0);

    await page.getByLabel('Token of the gateway').fill('use');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('#login-problem', { hasText: 'may send requests, but not look' }).waitFor();

    await page.getByLabel('Token of the gateway').fill('read');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('#connection', { hasText: 'live, read-only' }).waitFor();

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.locator('#login').waitFor();
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
    expect(await page.locator('#board').isVisible()).toBe(false);
  });

  it('asks for a token anew where the one in use is withdrawn', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await openBoard(page, gateway);
    await page.getByRole('button', { name: 'acme/2' }).first().click();
    await page.route('**/api/**', (route) => route.fulfill({ status: 401, json: {} }));
    // The page asks at once for what follows from it.
    await gateway.failOver();
    await page.locator('#login-problem', { hasText: 'does not know this token' }).waitFor();
    expect(await page.locator('dialog[open]').count()).toBe(0);
    expect(await page.locator('#token:focus').count()).toBe(1);
  });

  it('says in the dialog why a key could not be disabled', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await openBoard(page, gateway);
    await page.getByRole('button', { name: 'acme/2' }).first().click();
    const error = { code: 'KEYMUX_STORE_UNAVAILABLE', message: 'The store is away.', fix: 'Start it.' };
    await page.route('**/disable', (route) => route.fulfill({ status: 503, json: { error } }));
    await page.locator('#panel').getByRole('button', { name: 'Disable' }).click();
    await page.locator('#confirm-yes').click();
    await page.locator('#confirm-problem', { hasText: 'The store is away. Start it.' }).waitFor();
    expect(await page.locator('#confirm-yes').isEnabled()).toBe(true);
  });

  it('says what to do where its scripts do not arrive', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await page.route('**/main.js', (route) => route.abort());
    await page.goto(`${gateway.origin}/-/dashboard/`);
    expect(await page.locator('main').innerText()).toContain('the scripts of the page did not arrive');
  });

  it('teaches where there is nothing to show yet', async () => {
    const gateway = await stage([], { config: { providers: {} } });
    const { page } = await visit({ viewport: PHONE });
    await openBoard(page, gateway);
    const text = await page.locator('main').innerText();
    for (const title of [
      'No services yet.',
      'No keys were found.',
      'No providers are in use.',
      'Nothing happened yet.',
    ]) {
      expect(text).toContain(title);
    }
    expect(await accessibilityFaults(page)).toEqual([]);
  });
});
