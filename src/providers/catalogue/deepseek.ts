import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { STREAM_END, STREAM_ERRORS } from '../openai-compatible.js';

export const deepseek: CatalogueEntry = {
  id: 'deepseek',
  name: 'DeepSeek',
  baseUrl: 'https://api.deepseek.com',
  origins: ['https://api.deepseek.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['DEEPSEEK_API_KEY'],
  signed: false,
  bucketScope: 'account',
  protocol: { name: 'openai', pathPrefix: '/v1' },
  repeatable: [
    'POST /chat/completions',
    'POST /v1/chat/completions',
    'POST /beta/chat/completions',
    'POST /beta/completions',
  ],
  streamEndMark: STREAM_END,
  errors: [...STREAM_ERRORS],
  probe: { method: 'GET', path: '/user/balance', everyMs: 300_000, dailyBudget: 48 },
};

export const deepseekFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: null,
  notes: [
    'Clean codes.',
    '429 covers rate or concurrency.',
    '/user/balance gives is_available and balance_infos[] per currency.',
    'Key prefix sk- + 32, looks like old OpenAI keys.',
  ],
  sources: [
    'https://api-docs.deepseek.com/quick_start/error_codes',
    'https://api-docs.deepseek.com/zh-cn/quick_start/error_codes.md',
    'Calcium-Ion/new-api:controller/channel-billing.go',
    'trufflesecurity/trufflehog:pkg/detectors/deepseek/deepseek.go',
  ],
  fromMemory: ['scope', 'which routes may be repeated', '[DONE] at the end of streams'],
};
