import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lastReset, nextReset } from '#keymux/core/quota.js';
import { parseJsonPath } from '#keymux/providers/body-json.js';
import { catalogue, providerFor } from '#keymux/providers/catalogue.js';

const entries = [...catalogue.values()];
const FILES = new URL('../../src/providers/catalogue/', import.meta.url);

describe('the catalogue', () => {
  it('holds one entry for each file, under its own id', () => {
    const ids = readdirSync(FILES).map((file) => file.replace(/\.ts$/, '').replaceAll('-', '_'));
    expect([...catalogue.keys()].sort()).toEqual(ids.sort());
    for (const [id, entry] of catalogue) expect(entry.id).toBe(id);
  });

  it.each([
    ['environment names', entries.flatMap((entry) => [...entry.env, ...(entry.pairedEnv ?? [])])],
    ['origins', entries.flatMap((entry) => entry.origins)],
    ['names', entries.map((entry) => entry.name)],
  ])('shares no %s among providers', (_, values) => {
    expect(values.filter((value, index) => values.indexOf(value) !== index)).toEqual([]);
  });

  it.each([
    ['https://api.openai.com', 'openai'],
    ['https://finnhub.io', 'finnhub'],
    ['https://paper-api.alpaca.markets', 'alpaca'],
  ])('knows whose origin %s is', (origin, id) => {
    expect(providerFor(origin)?.id).toBe(id);
  });

  it.each([
    'http://api.openai.com',
    'https://api.openai.com/',
    'https://api.openai.com.evil.test',
    'https://openai.com',
    '',
    '__proto__',
  ])('knows no provider of %j', (origin) => {
    expect(providerFor(origin)).toBeUndefined();
  });
});

describe.each(entries)('the entry $id', (entry) => {
  it('sends keys to exact https origins only', () => {
    for (const origin of entry.origins) expect(new URL(origin).origin).toBe(origin);
    expect(entry.origins.every((origin) => /^https:\/\/[a-z\d.-]+$/.test(origin))).toBe(true);
    expect(entry.origins.length > 0).toBe(entry.originPattern === undefined);
  });

  it('has the first origin as base, or a name that never resolves', () => {
    const base = new URL(entry.baseUrl);
    expect(base.origin).toBe(entry.baseUrl);
    if (entry.originPattern === undefined) expect(entry.baseUrl).toBe(entry.origins[0]);
    else expect(base.hostname).toMatch(/\.invalid$/);
  });

  it('names variables as variables are named', () => {
    for (const name of [...entry.env, ...(entry.pairedEnv ?? [])]) expect(name).toMatch(/^[A-Z][A-Z\d_]*$/);
    expect(entry.env.length > 0).toBe(!entry.signed);
  });

  it('has rules that compile and can fire', () => {
    for (const rule of entry.errors) {
      for (const source of [rule.match, rule.header?.match])
        expect(() => new RegExp(source ?? '', 'i')).not.toThrow();
      for (const path of [rule.json, rule.sse])
        expect(path === undefined || parseJsonPath(path) !== undefined, path).toBe(true);
      expect(rule.header === undefined || rule.header.name === rule.header.name.toLowerCase()).toBe(true);
      expect(rule.status, 'a rule without status would look into every body').toBeDefined();
      for (const status of [rule.status].flat())
        expect(status).toSatisfy((code) => code === 200 || Number(code) >= 400);
    }
  });

  it('says where it has its facts from', () => {
    expect(entry.sources.length).toBeGreaterThan(0);
    const texts = [
      ...entry.sources,
      ...entry.notes,
      ...entry.fromMemory,
      entry.poolTerms ?? 'none',
      ...entry.knownLimits.flatMap((limit) => [limit.tier, limit.per]),
    ];
    for (const text of texts) expect(text.trim()).not.toBe('');
    expect(entry.knownLimits.some((limit) => limit.asOf === null) && entry.fromMemory.length === 0).toBe(
      false,
    );
  });

  it('has a calendar that the clock can follow', () => {
    const { reset } = entry;
    if (reset === undefined) return;
    const now = Date.UTC(2025, 6, 15, 12);
    expect(reset.at).toMatch(/^\d{2}:\d{2}$/);
    expect(lastReset({ ...reset, unit: 'day' }, now)).toBeLessThanOrEqual(now);
    expect(nextReset({ ...reset, unit: 'day' }, now)).toBeGreaterThan(now);
  });

  it('probes a path of its own, seldom', () => {
    const { probe } = entry;
    if (probe === undefined) return;
    expect(new URL(probe.path, entry.baseUrl).origin).toBe(entry.baseUrl);
    expect(probe.path).toMatch(/^\//);
    expect(probe.everyMs).toBeGreaterThanOrEqual(60_000);
    expect(probe.dailyBudget).toBeGreaterThan(0);
  });
});
