import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const sendgrid: CatalogueEntry = {
  id: 'sendgrid',
  name: 'Twilio SendGrid',
  baseUrl: 'https://api.sendgrid.com',
  origins: ['https://api.sendgrid.com', 'https://api.eu.sendgrid.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['SENDGRID_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    // A spent account, not a bad key.
    { status: 401, match: 'Maximum credits exceeded', outcome: 'quota-exhausted' },
  ],
  probe: { method: 'GET', path: '/v3/scopes', everyMs: 300_000, dailyBudget: 48 },
};

export const sendgridFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: null,
  notes: [
    '401 "Maximum credits exceeded" is an EXHAUSTED account, not a bad key: a manager that disables on 401 throws the key away.',
    'Limits are per endpoint and unpublished; drive from the headers.',
    '403 = too many bad requests, temporary block, or missing scope (a healthy key can answer 403 to /v3/scopes).',
    'Sending is not idempotent.',
  ],
  sources: [
    'https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits',
    'https://twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/errors',
    'trufflesecurity/trufflehog:pkg/detectors/sendgrid/sendgrid.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['invalid-grant text'],
};
