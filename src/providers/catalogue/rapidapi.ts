import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const rapidapi: CatalogueEntry = {
  id: 'rapidapi',
  name: 'RapidAPI',
  baseUrl: 'https://unconfigured.p.rapidapi.com.invalid',
  origins: [],
  originPattern: '*.p.rapidapi.com',
  auth: { in: 'header', name: 'X-RapidAPI-Key' },
  authAlternatives: [],
  env: ['RAPIDAPI_KEY', 'X_RAPIDAPI_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: 429,
      json: '$.message',
      match: 'exceeded the MONTHLY quota',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    {
      status: 429,
      json: '$.message',
      match: 'exceeded the DAILY quota',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    {
      status: 429,
      json: '$.message',
      match: 'exceeded the HOURLY quota',
      outcome: 'quota-exhausted',
      window: 'hour',
    },
    { status: 403, json: '$.message', match: 'Invalid API key', outcome: 'rejected' },
  ],
};

export const rapidapiFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: null,
  notes: [
    'One key, many upstream APIs: health is per (key, API host), not per key.',
    '429 text decides: "exceeded the MONTHLY quota for <object> on your current plan, <PLAN>" = quota (object may be Requests, Units, Tokens...); otherwise rate.',
    '403 "You are not subscribed to this API." = not the key\'s fault.',
    'Upstream services add headers of their own.',
    'Every request also needs X-RapidAPI-Host, which must equal its host.',
  ],
  sources: [
    'https://rapidapi.com/he/Seymon/api/onlyfans-profile-scraper2/discussions/110481 (quotes RapidAPI on reset)',
    'trufflesecurity/trufflehog:pkg/detectors/rapidapi/rapidapi.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['-reset header unit', '401/403 invalid key text', 'HOURLY variant'],
};
