import { refuse, ok } from '#keymux/testing/script.js';
import { dashboardAsset } from '#keymux/gateway/dashboard/assets.js';
import { describe, expect, it } from 'vitest';
import { openBoard, ONE_LIMITED, stage, useBrowser } from './dashboard-stage.js';
import { CANARY } from './own-server.js';

const visit = useBrowser();

describe('dashboardAsset', () => {
  it('knows the page and its files, and nothing else', () => {
    expect(dashboardAsset('/')?.contentType).toBe('text/html; charset=utf-8');
    expect(dashboardAsset('/main.js')?.contentType).toBe('text/javascript; charset=utf-8');
    expect(dashboardAsset('/styles.css')?.contentType).toBe('text/css; charset=utf-8');
    for (const path of [
      '',
      '/..',
      '/../assets.js',
      '//index.html',
      '/none.js',
      '/index.html/',
      '/constructor',
    ]) {
      expect(dashboardAsset(path), path).toBeUndefined();
    }
  });
});

describe('the dashboard', () => {
  it('shows services, providers and keys with state, deadline and its source', async () => {
    const gateway = await stage();
    await gateway.failOver();
    const { page, faults } = await visit();
    await openBoard(page, gateway);

    const rested = page.locator('#keys tbody tr', { hasText: 'acme/main' });
    expect(await rested.innerText()).toMatch(/◌\s*resting\s+back in \d+ min( \d+ s)? stated by the provider/);
    expect(await rested.locator('[role=meter]').getAttribute('aria-valuetext')).toBe('39 of 40 per minute');
    expect(await page.locator('#services tbody tr', { hasText: 'chat' }).innerText()).toMatch(/acme\/2/);
    expect(await page.locator('#providers tbody tr').innerText()).toMatch(/acme\s+●\s*closed[^]*100 %/);
    // The store is told of usage within a second.
    await page.locator('#usage tbody tr', { hasText: /acme\s*2\s*1\s*50 %/ }).waitFor();
    expect(await page.locator('#fleet').innerText()).toContain('shares its state with nobody');
    expect(await page.locator('#why .verdict').innerText()).toContain(
      'acme/2 serves the next request of chat',
    );
    expect(faults).toEqual([]);
  });

  it('shows a failover as it happens, without being asked, and tells screen readers', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await openBoard(page, gateway);
    await page.locator('#news', { hasText: 'Nothing happened yet' }).waitFor();

    await gateway.failOver();

    await page
      .locator('#news li', { hasText: 'chat: acme/main → acme/2, since rate-limited (429)' })
      .waitFor();
    await page.locator('#keys tr', { hasText: 'acme/main' }).locator('text=resting').waitFor();
    expect(await page.locator('#announcer').textContent()).toBe(
      'chat goes on with acme/2 instead of acme/main, since rate-limited.',
    );
  });

  it('disables a key only after it was confirmed', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await openBoard(page, gateway);
    const stateOf = (id: string) => gateway.manager.inspect().keys.find((key) => key.id === id)?.state;
    await page.getByRole('button', { name: 'acme/2' }).first().click();
    const panel = page.getByRole('dialog', { name: 'acme/2' });
    await panel.getByRole('button', { name: 'Disable' }).click();

    const question = page.getByRole('dialog', { name: 'Disable acme/2?' });
    await question.getByRole('button', { name: 'Cancel' }).click();
    expect(stateOf('acme/2')).toBe('unproven');

    await panel.getByRole('button', { name: 'Disable' }).click();
    await question.getByRole('button', { name: 'Disable' }).click();
    await question.waitFor({ state: 'hidden' });
    expect(stateOf('acme/2')).toBe('disabled');

    await panel.getByRole('button', { name: 'Enable' }).click();
    await page
      .getByRole('dialog', { name: 'Enable acme/2?' })
      .getByRole('button', { name: 'Enable' })
      .click();
    await panel.getByRole('button', { name: 'Disable' }).waitFor();
    expect(stateOf('acme/2')).toBe('unproven');
  });

  it('resets a key that rests', async () => {
    const gateway = await stage();
    await gateway.failOver();
    const { page } = await visit();
    await openBoard(page, gateway);
    await page.getByRole('button', { name: 'acme/main' }).first().click();
    await page.getByRole('button', { name: 'Reset' }).click();
    await page.locator('#confirm-yes').click();
    await page.locator('#confirm').waitFor({ state: 'hidden' });
    expect(gateway.manager.inspect().keys.find(({ id }) => id === 'acme/main')?.state).not.toBe('resting');
  });

  it('offers a reading token nothing to change', async () => {
    const gateway = await stage();
    const { page } = await visit();
    await openBoard(page, gateway, 'read');
    expect(await page.locator('#connection').innerText()).toContain('read-only');
    await page.getByRole('button', { name: 'acme/2' }).first().click();
    await page.locator('#panel', { hasText: 'sign in with one that has the role admin' }).waitFor();
    expect(await page.locator('#panel .actions').count()).toBe(0);
  });

  it('tells the history of a key and the story of a request', async () => {
    const gateway = await stage();
    await gateway.failOver();
    const { page } = await visit();
    await openBoard(page, gateway);

    await page.locator('#keys').getByRole('button', { name: 'acme/main' }).click();
    // An hour, or a little less where the answer was slow.
    await page.locator('#panel li', { hasText: /acme\/main rests for .+: rate-limited, stated/ }).waitFor();
    await page.keyboard.press('Escape');

    await page.locator('#why tr', { hasText: 'acme/main → acme/2' }).getByRole('button').click();
    const story = page.locator('#panel');
    await story.locator('h3', { hasText: 'Attempt 2: acme/2' }).waitFor();
    const text = await story.innerText();
    expect(text).toMatch(/answered[^]*2 attempts/);
    expect(text).toMatch(/Attempt 1: acme\/main[^]*rate-limited\s*status 429/);
  });

  it('explains another service where it is asked to', async () => {
    const gateway = await stage([{ always: refuse('rejected') }]);
    await (await gateway.manager.fetch('chat', '/v1/things').catch(() => new Response())).text();
    expect(gateway.simulator.requests.length).toBeGreaterThan(0);
    const { page } = await visit();
    await openBoard(page, gateway);
    await page.getByRole('button', { name: 'Why this key for acme?' }).click();
    expect(await page.locator('#why-service').inputValue()).toBe('acme');
    await page.locator('#why .verdict', { hasText: 'No key of acme can be used now.' }).waitFor();
    expect(await page.locator('#services').innerText()).toMatch(/✗\s*every key is out/);
  });

  it('draws latency and failures, read by arrow keys and as a table', async () => {
    const gateway = await stage();
    await gateway.failOver();
    const { page } = await visit();
    await openBoard(page, gateway);
    const failed = page.getByRole('slider', { name: 'Failed attempts, over time' });
    // The two attempts may fall into two slots.
    await page.locator('#traffic .plot-reading', { hasText: /share of attempts \d+ %/ }).waitFor();
    expect(await failed.locator('path.plot-line').count()).toBeGreaterThan(0);

    await failed.press('Home');
    expect(await failed.getAttribute('aria-valuenow')).toBe('0');
    expect(await failed.getAttribute('aria-valuetext')).toMatch(/^\d\d:\d\d:\d\d: nothing was sent$/);
    await failed.press('ArrowRight');
    expect(await failed.getAttribute('aria-valuenow')).toBe('1');
    await failed.press('End');
    expect(await failed.getAttribute('aria-valuenow')).toBe(await failed.getAttribute('aria-valuemax'));

    const table = page.locator('#traffic .plot-table').nth(1);
    await table.locator('summary').click();
    await table
      .locator('tbody tr', { hasText: /\d\d:\d\d:\d\d\s*\d+ %/ })
      .first()
      .waitFor();
    await page.locator('#traffic-subject').selectOption('acme/3');
    await page.locator('#traffic', { hasText: 'No answer was good in this time.' }).waitFor();
  });

  it('finds keys among two hundred and shows the first of them', async () => {
    const gateway = await stage(Array.from({ length: 200 }, () => ({ always: ok() })));
    gateway.manager.disable('acme/150');
    const { page } = await visit();
    await openBoard(page, gateway);
    const rows = page.locator('#keys tbody tr');
    expect(await rows.count()).toBe(60);
    await page.locator('#key-trouble').check();
    expect(await rows.count()).toBe(1);
    expect(await rows.innerText()).toMatch(/acme\/150\s+–\s*disabled/);
    await page.locator('#key-trouble').uncheck();
    await page.locator('#key-search').fill('acme/19');
    expect(await rows.count()).toBe(11);
    await page.locator('#key-search').fill('nothing like this');
    await page.locator('#keys', { hasText: 'No key is like that.' }).waitFor();
    await page.locator('#key-search').fill('');
    await page.locator('#key-order').selectOption('trouble');
    expect(await rows.first().innerText()).toContain('acme/150');
    await page.getByRole('button', { name: 'Show 140 more' }).click();
    expect(await rows.count()).toBe(200);
  });

  it('lets no key, and no token but in a header, into page or traffic', async () => {
    const gateway = await stage(ONE_LIMITED);
    await gateway.failOver();
    const { page } = await visit();
    const seen: string[] = [];
    page.on('request', (request) => seen.push(request.url()));
    page.on('response', (response) => {
      if (!response.url().endsWith('/events'))
        void response.text().then(
          (text) => seen.push(text),
          () => {},
        );
    });
    await openBoard(page, gateway);
    await page.getByRole('button', { name: 'acme/main' }).first().click();
    await page.locator('#panel li', { hasText: 'rests' }).waitFor();
    expect(new URL(page.url()).hash).toBe('');
    seen.push(await page.content());
    const all = seen.join('\n');
    expect(all.includes('acme/main')).toBe(true);
    expect(all.includes(CANARY), 'a key in page or traffic').toBe(false);
    expect(all.includes('token=admin'), 'a token in an address').toBe(false);
  });
});
