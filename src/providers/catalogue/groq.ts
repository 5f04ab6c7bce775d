import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { computingRoutes, STREAM_END, STREAM_ERRORS } from '../openai-compatible.js';

export const groq: CatalogueEntry = {
  id: 'groq',
  name: 'Groq',
  baseUrl: 'https://api.groq.com',
  origins: ['https://api.groq.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['GROQ_API_KEY'],
  signed: false,
  bucketScope: 'organization',
  protocol: { name: 'openai', pathPrefix: '/openai/v1' },
  repeatable: computingRoutes('/openai/v1', '/audio/speech', '/audio/transcriptions', '/audio/translations'),
  streamEndMark: STREAM_END,
  errors: [
    {
      status: 429,
      json: '$.error.message',
      match: '(requests|tokens) per day',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    {
      status: 400,
      json: '$.error.message',
      match: 'organization has been restricted',
      outcome: 'rejected',
      scope: 'bucket',
    },
    { status: 409, outcome: 'overloaded' },
    ...STREAM_ERRORS,
  ],
  probe: { method: 'GET', path: '/openai/v1/models', everyMs: 300_000, dailyBudget: 48 },
};

export const groqFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'by plan and model',
      amount: 'requests and tokens: see console',
      per: 'minute/day',
      asOf: '2026',
    },
  ],
  poolTerms: null,
  notes: [
    'Same header names as OpenAI, different windows: -requests is per day, -tokens per minute.',
    'Organization-level: more keys in one org add nothing.',
    'Separate ITPM/OTPM limits on some orgs do not show in headers.',
    '"organization has been restricted" (400) = dead for the whole org.',
  ],
  sources: [
    'https://console.groq.com/docs/rate-limits.md',
    'https://www.developersdigest.tech/errors/api/groq-api/429-too-many-requests',
    'https://dev.to/vectle/groq-429s-your-retry-loop-is-blind-read-the-headers-instead-l0j',
    'groq/groq-typescript:src/client.ts',
    'songquanpeng/one-api:monitor/manage.go',
    'trufflesecurity/trufflehog:pkg/detectors/groq/groq.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['invalid_api_key code', 'which routes may be repeated', '[DONE] at the end of streams'],
};
