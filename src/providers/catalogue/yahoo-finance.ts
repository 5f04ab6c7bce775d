import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const yahooFinance: CatalogueEntry = {
  id: 'yahoo_finance',
  name: 'Yahoo Finance (keyless)',
  baseUrl: 'https://query1.finance.yahoo.com',
  origins: ['https://query1.finance.yahoo.com', 'https://query2.finance.yahoo.com'],
  auth: { in: 'query', name: 'crumb' },
  authAlternatives: [],
  env: [],
  signed: true,
  bucketScope: 'egress',
  errors: [
    { status: 200, match: '^Too Many Requests', outcome: 'rate-limited' },
    // The session is over; the client makes a new one.
    { status: [401, 403], match: 'crumb', outcome: 'bad-request' },
    { status: 403, outcome: 'restricted', scope: 'egress' },
  ],
};

export const yahooFinanceFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: 'Unofficial API.',
  notes: [
    'No key exists, nothing to swap; limits are per IP and unpublished. getcrumb may answer the TEXT "Too Many Requests" as the crumb.',
    '401/403 naming the crumb = refresh session; 403 without it = IP block.',
    'Paid "Yahoo Finance" keys are RapidAPI keys for third-party APIs.',
    "The crumb is a session's and is never replaced.",
  ],
  sources: ['ranaroussi/yfinance:yfinance/data.py', 'Verdenroz/finance-query:src/adapters/yahoo/client.rs'],
  fromMemory: ['terms remark'],
};
