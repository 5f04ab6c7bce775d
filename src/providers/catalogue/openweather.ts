import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const openweather: CatalogueEntry = {
  id: 'openweather',
  name: 'OpenWeather',
  baseUrl: 'https://api.openweathermap.org',
  origins: ['https://api.openweathermap.org'],
  auth: { in: 'query', name: 'appid' },
  authAlternatives: [],
  env: ['OPENWEATHER_API_KEY', 'OPENWEATHERMAP_API_KEY', 'OWM_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: 429,
      json: '$.message',
      match: 'temporary blocked due to exceeding',
      outcome: 'quota-exhausted',
    },
    { status: 401, json: '$.message', match: 'separate subscription', outcome: 'restricted' },
  ],
};

export const openweatherFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', requests: 60, per: 'minute', asOf: 'code notes' },
    { tier: 'free', requests: 1_000_000, per: 'month', asOf: null },
    { tier: 'One Call 3.0', requests: 1_000, per: 'day', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'Body {"cod":429,"message":"Your account is temporary blocked due to exceeding of requests limitation of your subscription type..."}; cod is a number or a STRING.',
    'The ACCOUNT is blocked, not one key.',
    '401 also comes for keys not yet activated and for products not subscribed.',
  ],
  sources: [
    'trufflesecurity/trufflehog:pkg/detectors/openweather/openweather.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['month and One Call limits', '401 for keys that are not active yet'],
};
