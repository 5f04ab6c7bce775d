import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { computingRoutes, STREAM_END, STREAM_ERRORS } from '../openai-compatible.js';

export const xai: CatalogueEntry = {
  id: 'xai',
  name: 'xAI',
  baseUrl: 'https://api.x.ai',
  origins: ['https://api.x.ai'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['XAI_API_KEY'],
  signed: false,
  bucketScope: 'organization',
  protocol: { name: 'openai', pathPrefix: '/v1' },
  repeatable: computingRoutes('/v1', '/messages'),
  streamEndMark: STREAM_END,
  errors: [
    { status: 400, match: 'Incorrect API key', outcome: 'rejected' },
    // As 429 it looks like haste, and waiting is futile.
    { status: [403, 429], match: 'credits|spending limit', outcome: 'quota-exhausted' },
    ...STREAM_ERRORS,
  ],
  probe: { method: 'GET', path: '/v1/api-key', everyMs: 300_000, dailyBudget: 48 },
};

export const xaiFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'by tier (cumulative spend since 2026-01-01) and model',
      amount: 'RPM/60 requests',
      per: 'second',
      asOf: '2026',
    },
    { tier: 'by tier and model', amount: 'tokens: see console', per: 'minute', asOf: '2026' },
  ],
  poolTerms: null,
  notes: [
    'A bad key may be 400 (trufflehog treats 400 and 401 as invalid).',
    "Limits per TEAM and model; the per-second limit is RPM/60, so a minute's worth may not be burst.",
    'GET /v1/api-key returns api_key_blocked, api_key_disabled, team_blocked, acls: check these, a 200 alone is not health.',
    '403 = no permission or key/team blocked.',
    'Exhausted credit was seen as 403 and as 429, with the same text.',
    'XAI_MANAGEMENT_KEY holds a key of another kind and is left alone.',
  ],
  sources: [
    'https://docs.x.ai/developers/rate-limits.md',
    'https://docs.rs/crate/x-ai/0.1.0/source/src/api_key.rs',
    'trufflesecurity/trufflehog:pkg/detectors/xai/xai.go',
    'https://www.developersdigest.tech/errors/api/xai-api/403-forbidden',
    'xai-org/xai-sdk-python:src/xai_sdk/aio/client.py',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['which routes may be repeated', '[DONE] at the end of streams'],
};
