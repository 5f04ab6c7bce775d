import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const github: CatalogueEntry = {
  id: 'github',
  name: 'GitHub REST/GraphQL',
  baseUrl: 'https://api.github.com',
  origins: ['https://api.github.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [{ in: 'header', name: 'Authorization', scheme: 'token' }],
  env: ['GITHUB_TOKEN', 'GH_TOKEN'],
  companionHeaders: { 'user-agent': 'keymux' },
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [403, 429],
      header: { name: 'x-ratelimit-remaining', match: '^0$' },
      outcome: 'rate-limited',
      window: 'hour',
    },
    { status: 403, header: { name: 'retry-after' }, outcome: 'rate-limited', window: 'minute' },
    {
      status: [403, 429],
      json: '$.message',
      match: 'secondary rate',
      outcome: 'rate-limited',
      window: 'minute',
    },
    // GraphQL; the header spares every other answer a look into its body.
    {
      status: 200,
      header: { name: 'x-ratelimit-remaining', match: '^0$' },
      json: '$.errors[*].type',
      match: '^RATE_LIMITED$',
      outcome: 'rate-limited',
      window: 'hour',
    },
  ],
  probe: { method: 'GET', path: '/rate_limit', everyMs: 300_000, dailyBudget: 48, costsQuota: 'no' },
};

export const githubFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'unauthenticated, per IP', requests: 60, per: 'hour', asOf: 'github/docs' },
    { tier: 'user token', requests: 5_000, per: 'hour', asOf: 'github/docs' },
    { tier: 'Enterprise Cloud apps', requests: 15_000, per: 'hour', asOf: 'github/docs' },
    { tier: 'Actions GITHUB_TOKEN, per repository', requests: 1_000, per: 'hour', asOf: 'github/docs' },
  ],
  poolTerms: 'Limits are per user; not otherwise reviewed.',
  notes: [
    'Rate limit is 403 OR 429.',
    '403 with x-ratelimit-remaining: 0 = primary; 403/429 with /secondary rate/ in the message = secondary (retry-after, else >= 60 s); any other 403 = permission (SSO, scopes).',
    "All tokens of one USER share 5,000/h: pooling one person's tokens adds nothing.",
    'Missing/insufficient auth on private data is 404.',
    'Buckets per resource.',
    'GET /rate_limit does not count against the primary limit but can count against the secondary one.',
    'Going on while limited may get the integration banned.',
  ],
  sources: [
    'github/docs:content/rest/using-the-rest-api/rate-limits-for-the-rest-api.md',
    'github/docs:content/rest/using-the-rest-api/troubleshooting-the-rest-api.md',
    'octokit/plugin-throttling.js:src/index.ts',
    'public client code, repositories not recorded',
  ],
  fromMemory: [],
};
