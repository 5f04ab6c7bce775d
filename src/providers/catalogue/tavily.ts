import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const tavily: CatalogueEntry = {
  id: 'tavily',
  name: 'Tavily',
  baseUrl: 'https://api.tavily.com',
  origins: ['https://api.tavily.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['TAVILY_API_KEY'],
  signed: false,
  bucketScope: 'account',
  repeatable: ['POST /search', 'POST /extract', 'POST /crawl', 'POST /map'],
  errors: [{ status: [432, 433], outcome: 'quota-exhausted' }],
  probe: { method: 'GET', path: '/usage', everyMs: 3_600_000, dailyBudget: 6 },
};

export const tavilyFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'development key', requests: 100, per: 'minute', asOf: 'docs 2026' },
    { tier: 'production key', requests: 1_000, per: 'minute', asOf: 'docs 2026' },
    { tier: 'crawl, any key', requests: 100, per: 'minute', asOf: 'docs 2026' },
    { tier: 'research, any key', requests: 20, per: 'minute', asOf: 'docs 2026' },
    { tier: 'free', amount: '1,000 credits', per: 'month', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'Non-standard 432 and 433 = plan or pay-as-you-go limit (the SDK treats 403, 432 and 433 as forbidden/limit).',
    'A keyless mode exists with its own limit body (code, window, retry_after_seconds).',
    '/usage has its own small rate limit: do not poll.',
  ],
  sources: [
    'https://docs.tavily.com/documentation/rate-limits.md',
    'tavily-ai/tavily-python:tavily/tavily.py',
    'tavily-ai/tavily-python:tavily/errors.py',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['1000 free credits', '433 = pay-as-you-go', 'GET /usage and that it is free'],
};
