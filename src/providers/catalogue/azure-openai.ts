import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { computingRoutes, STREAM_END, STREAM_ERRORS } from '../openai-compatible.js';

export const azureOpenai: CatalogueEntry = {
  id: 'azure_openai',
  name: 'Azure OpenAI',
  baseUrl: 'https://unconfigured.openai.azure.com.invalid',
  origins: [],
  originPattern: '*.openai.azure.com',
  auth: { in: 'header', name: 'api-key' },
  authAlternatives: [],
  env: ['AZURE_OPENAI_API_KEY', 'AZURE_API_KEY'],
  signed: false,
  bucketScope: 'project',
  protocol: { name: 'openai', pathPrefix: '/openai/v1' },
  repeatable: computingRoutes('/openai/v1'),
  streamEndMark: STREAM_END,
  errors: [{ status: 409, outcome: 'overloaded' }, ...STREAM_ERRORS],
  probe: { method: 'GET', path: '/openai/models?api-version=2024-10-21', everyMs: 300_000, dailyBudget: 48 },
};

export const azureOpenaiFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'by subscription, region, model, deployment',
      amount: 'TPM and RPM: configured',
      per: 'minute',
      asOf: '2026',
    },
  ],
  poolTerms: null,
  notes: [
    'Key and HOST belong together (one resource = one hostname = two interchangeable keys that share one quota): failover to another resource must also change the base URL, and often the deployment name.',
    'RPM is checked over 1-10 s windows, so 429 comes below the per-minute figure.',
    'Temporary downward adjustments last hours.',
    '403 = network rule or temporarily blocked resource.',
    '401 message suggests wrong endpoint as often as wrong key.',
    'AZURE_OPENAI_ENDPOINT, OPENAI_API_VERSION and AZURE_RESOURCE_NAME belong to the key and change with it.',
  ],
  sources: [
    'https://learn.microsoft.com/en-us/microsoft-cloud/dev/dev-proxy/concepts/azure-openai-429-token-rate-limit',
    'https://www.developersdigest.tech/errors/api/azure-openai/429-rate-limit-exceeded',
    'https://www.developersdigest.tech/errors/api/azure-openai/429-temporary-rate-limit-adjustment',
    'https://learn.microsoft.com/en-us/answers/questions/2140040/',
    'openai/openai-node:src/azure.ts',
    'trufflesecurity/trufflehog:pkg/detectors/azure_openai/azure_openai.go (GET /openai/deployments?api-version=2023-03-15-preview)',
    'https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle',
  ],
  fromMemory: [
    'probe path',
    'two keys per resource',
    'last sentence',
    'x-ratelimit-remaining-* and retry-after names',
    'which routes may be repeated',
    '[DONE] at the end of streams',
  ],
};
