import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const googleMaps: CatalogueEntry = {
  id: 'google_maps',
  name: 'Google Maps Platform',
  baseUrl: 'https://maps.googleapis.com',
  origins: ['https://maps.googleapis.com', 'https://places.googleapis.com', 'https://routes.googleapis.com'],
  auth: { in: 'query', name: 'key' },
  authAlternatives: [{ in: 'header', name: 'X-Goog-Api-Key' }],
  env: ['GOOGLE_MAPS_API_KEY', 'MAPS_API_KEY'],
  signed: false,
  bucketScope: 'project',
  repeatable: [
    'POST /v1/places:searchText',
    'POST /v1/places:searchNearby',
    'POST /v1/places:autocomplete',
    'POST /directions/v2:computeRoutes',
    'POST /distanceMatrix/v2:computeRouteMatrix',
  ],
  errors: [
    { status: 200, json: '$.status', match: '^OVER_QUERY_LIMIT$', outcome: 'rate-limited' },
    { status: 200, json: '$.error_message', match: 'API key is (invalid|expired)', outcome: 'rejected' },
    // Documented for four causes, a bad key among them.
    { status: 200, json: '$.status', match: '^OVER_DAILY_LIMIT$', outcome: 'quota-exhausted' },
    // Mostly an interface that is not enabled for the key.
    { status: 200, json: '$.status', match: '^REQUEST_DENIED$', outcome: 'restricted', scope: 'key' },
    { status: 200, json: '$.status', match: '^UNKNOWN_ERROR$', outcome: 'overloaded' },
    { status: 400, json: '$.error.details[*].reason', match: '^API_KEY_INVALID$', outcome: 'rejected' },
  ],
};

export const googleMapsFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: null,
  notes: [
    'Classic web services answer 200 and put the verdict in $.status; ZERO_RESULTS, NOT_FOUND and INVALID_REQUEST are not key trouble.',
    'OVER_DAILY_LIMIT is documented for four causes including a bad key.',
    'Newer APIs use Google RPC errors with real HTTP codes.',
    'Every successful call may bill money: no free probe found.',
    'Keys carry IP/referrer/API restrictions, so "denied" may be about where the request came from.',
  ],
  sources: [
    'googlemaps/google-maps-services-js:src/common.ts (2026-05-08)',
    'public client code, repositories not recorded',
  ],
  fromMemory: [
    'hosts and header of the newer APIs',
    'env names',
    '429 for newer APIs',
    'URL signing',
    'every call may bill',
    'key restrictions',
    'routes that may be repeated, but for places:autocomplete',
  ],
};
