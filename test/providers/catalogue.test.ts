import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lastReset, nextReset } from '#keymux/core/quota.js';
import { parseJsonPath } from '#keymux/providers/body-json.js';
import type { ProviderFacts } from '#keymux/providers/catalogue-entry.js';
import { catalogueFacts } from '#keymux/providers/catalogue-facts.js';
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

describe('protocols', () => {
  it.each([
    ['openai', '/v1'],
    ['groq', '/openai/v1'],
    ['openrouter', '/api/v1'],
    ['together', '/v1'],
    ['mistral', '/v1'],
    ['deepseek', '/v1'],
    ['xai', '/v1'],
    ['perplexity', ''],
    ['gemini', '/v1beta/openai'],
    ['cohere', '/compatibility/v1'],
    ['azure_openai', '/openai/v1'],
  ])('of %s is that of OpenAI under %j', (id, pathPrefix) => {
    expect(catalogue.get(id)?.protocol).toEqual({ name: 'openai', pathPrefix });
  });

  it('end streams of OpenAI with [DONE], or with the last event of a response', () => {
    for (const { id, protocol, streamEndMark = '(?!)' } of entries) {
      if (protocol?.name !== 'openai') continue;
      expect(new RegExp(streamEndMark, 'i').test('data: [DONE]'), id).toBe(true);
    }
    const mark = new RegExp(catalogue.get('openai')?.streamEndMark ?? '(?!)', 'i');
    expect(mark.test('event: response.completed\ndata: {"type":"response.completed"}')).toBe(true);
    expect(mark.test('event: response.created\ndata: {"type":"response.created"}')).toBe(false);
  });

  it.each([
    ['anthropic', 'event: message_stop\ndata: {"type":"message_stop"}'],
    ['gemini', 'data: {"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}'],
    ['perplexity', 'data: {"choices": [{"finish_reason": "stop", "delta": {}}]}'],
    ['cohere', 'event: message-end\ndata: {"type":"message-end"}'],
  ])('of its own: %s ends with %j', (id, event) => {
    expect(new RegExp(catalogue.get(id)?.streamEndMark ?? '(?!)', 'i').test(event)).toBe(true);
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
    const facts = catalogueFacts.get(entry.id) as ProviderFacts;
    expect(facts.sources.length).toBeGreaterThan(0);
    const texts = [
      ...facts.sources,
      ...facts.notes,
      ...facts.fromMemory,
      facts.poolTerms ?? 'none',
      ...facts.knownLimits.flatMap((limit) => [limit.tier, limit.per]),
    ];
    for (const text of texts) expect(text.trim()).not.toBe('');
    expect(facts.knownLimits.some((limit) => limit.asOf === null) && facts.fromMemory.length === 0).toBe(
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

  it('speaks a protocol whose paths can be found again', () => {
    const { protocol } = entry;
    if (protocol === undefined) return;
    expect(protocol.name).toMatch(/^[a-z][a-z\d-]*$/);
    expect(protocol.pathPrefix).toMatch(/^(\/[\w.-]+)*$/);
    expect(entries.filter((other) => other.protocol?.name === protocol.name).length).toBeGreaterThan(1);
  });

  it('names the header of the owner as headers are looked up', () => {
    expect(entry.ownerHeader ?? 'x').toMatch(/^[a-z][a-z\d-]*$/);
    expect(entry.ownerHeader === undefined || entry.bucketScope !== 'key').toBe(true);
  });

  it('calls repeatable only what computes an answer', () => {
    const { repeatable = [] } = entry;
    expect(new Set(repeatable).size).toBe(repeatable.length);
    for (const route of repeatable) {
      expect(route).toMatch(/^POST \/(?:[\w./:-]|\*(?!\*))*$/);
      expect(route).not.toMatch(
        /responses|files|batches?|assistants|threads|runs|orders?|payments?|mail|research$/i,
      );
    }
    expect(entry.signed && repeatable.length > 0).toBe(false);
  });

  it('knows the end of a stream by a mark that its beginning lacks', () => {
    const { streamEndMark } = entry;
    if (streamEndMark === undefined) return;
    const mark = new RegExp(streamEndMark, 'i');
    const first = 'data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":null}]}';
    expect(mark.test(first)).toBe(false);
    for (const other of [
      'data: {"type":"message_start"}',
      ': ping',
      '',
      'data: {"candidates":[{"content":{}}]}',
    ])
      expect(mark.test(other)).toBe(false);
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
