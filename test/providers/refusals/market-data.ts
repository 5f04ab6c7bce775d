import { MINUTE, HOUR, NOW, TO_MIDNIGHT_UTC, of, type Refusal } from './refusal.js';

const coinMarketCap = (error_code: number, error_message: string) => ({
  status: { error_code, error_message },
});
const kraken = (error: string) => ({ error: [error] });

export const MARKET_DATA: readonly Refusal[] = [
  ...of(
    'alpha_vantage',
    {
      status: 200,
      body: {
        Information:
          'Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly (1 request per second). You may subscribe to lift the free key rate limit (25 requests per day).',
      },
      kind: 'rate-limited',
      waitMs: 1_000,
    },
    {
      status: 200,
      body: {
        Information:
          'We have detected your API key as CANARY and our standard API rate limit is 25 requests per day. Please subscribe to any of the premium plans.',
      },
      kind: 'quota-exhausted',
    },
    {
      status: 200,
      body: {
        Note: 'Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls per day.',
      },
      kind: 'rate-limited',
      waitMs: MINUTE,
    },
    {
      status: 200,
      body: { Information: 'Thank you for using Alpha Vantage! This is a premium endpoint.' },
      kind: 'restricted',
      scope: 'route',
    },
    {
      status: 200,
      body: {
        'Error Message': 'the parameter apikey is invalid or missing. Please claim your free API key.',
      },
      kind: 'rejected',
    },
    { status: 200, body: { Information: 'Invalid API key. Please check.' }, kind: 'rejected' },
    { status: 200, body: { 'Error Message': 'Invalid API call. Please retry.' }, kind: 'bad-request' },
  ),
  ...of(
    'finnhub',
    {
      status: 200,
      body: { error: 'API limit reached. Please try again later. Remaining Limit: 0' },
      kind: 'rate-limited',
    },
    {
      status: 429,
      headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW / 1000 + 17) },
      body: { error: 'API limit reached. Please try again later. Remaining Limit: 0' },
      kind: 'rate-limited',
      waitMs: 17_000,
    },
    { status: 401, body: { error: 'Invalid API key' }, kind: 'rejected' },
    {
      status: 403,
      body: { error: "You don't have access to this resource." },
      kind: 'restricted',
      scope: 'route',
    },
  ),
  ...of(
    'twelve_data',
    {
      status: 200,
      body: {
        code: 429,
        message:
          'You have run out of API credits for the current minute. 9 API credits were used, with the current limit being 8.',
        status: 'error',
      },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: MINUTE,
    },
    {
      status: 429,
      body: {
        code: 429,
        message: 'You have run out of API credits for the day. 801 API credits were used.',
        status: 'error',
      },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: TO_MIDNIGHT_UTC,
    },
    {
      status: 200,
      body: { code: 429, message: 'Too fast', status: 'error' },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: MINUTE,
    },
    {
      status: 200,
      body: { code: 401, message: '**apikey** parameter is incorrect or not specified.', status: 'error' },
      kind: 'rejected',
    },
    { status: 200, body: { code: 403, message: 'Forbidden', status: 'error' }, kind: 'restricted' },
    { status: 200, body: { code: 500, message: 'Internal', status: 'error' }, kind: 'overloaded' },
    {
      status: 200,
      body: { code: 400.5, message: '/etf is available with your plan: pro.', status: 'error' },
      kind: 'restricted',
    },
    {
      status: 200,
      body: { code: 404, message: '**symbol** not found', status: 'error' },
      kind: 'bad-request',
    },
  ),
  ...of(
    'polygon',
    {
      status: 429,
      body: {
        status: 'ERROR',
        error: "You've exceeded the maximum requests per minute, please wait or upgrade.",
      },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: MINUTE,
    },
    { status: 429, body: '', kind: 'rate-limited', scope: 'bucket' },
    {
      status: 200,
      body: { status: 'NOT_AUTHORIZED', message: 'You are not entitled to this data.' },
      kind: 'restricted',
    },
    { status: 401, body: { status: 'ERROR', error: 'Unknown API Key' }, kind: 'rejected' },
  ),
  ...of(
    'fmp',
    {
      status: 429,
      body: { 'Error Message': 'Bandwidth Limit Reach . Please upgrade your plan.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 200,
      body: { 'Error Message': 'Limit Reach . Please upgrade your plan or visit our documentation.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 200, body: { 'Error Message': 'Invalid API KEY. Please retry.' }, kind: 'rejected' },
    { status: 402, body: 'Special Endpoint', kind: 'restricted', scope: 'route' },
  ),
  ...of(
    'tiingo',
    {
      status: 429,
      body: { detail: 'Error: You have run over your hourly request allocation.' },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: HOUR,
    },
    {
      status: 200,
      body: { detail: 'Error: You have run over your daily request allocation.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 200,
      headers: { 'content-type': 'text/csv' },
      body: 'Error: You have run over your hourly request allocation.',
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: HOUR,
    },
    {
      status: 200,
      headers: { 'content-type': 'text/csv' },
      body: 'Error: You have run over your daily request allocation.',
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 403, body: { detail: 'Invalid token.' }, kind: 'rejected' },
    { status: 403, body: { detail: 'You do not have permission to access this ticker' }, kind: 'restricted' },
  ),
  ...of('alpaca', { status: 403, body: { message: 'forbidden.' }, kind: 'rejected' }),
  ...of('eodhd', { status: 402, body: 'Payment Required', kind: 'quota-exhausted', waitMs: TO_MIDNIGHT_UTC }),
  ...of(
    'marketstack',
    { status: 429, body: { error: { code: 'rate_limit_reached' } }, kind: 'rate-limited', scope: 'bucket' },
    {
      status: 429,
      body: { error: { code: 'usage_limit_reached' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 200, body: { error: { code: 'invalid_access_key' } }, kind: 'rejected' },
  ),
  ...of(
    'nasdaq_data_link',
    {
      status: 400,
      body: { quandl_error: { code: 'QEAx01', message: 'We could not recognize your API key.' } },
      kind: 'rejected',
    },
    {
      status: 429,
      body: { quandl_error: { code: 'QELx03', message: 'You have exceeded the limit of 50 calls per day.' } },
      kind: 'quota-exhausted',
    },
    {
      status: 429,
      body: { quandl_error: { code: 'QELx04', message: 'You have exceeded the API speed limit.' } },
      kind: 'rate-limited',
    },
  ),
  ...of(
    'fred',
    {
      status: 400,
      headers: { 'content-type': 'text/xml' },
      body: '<error code="400" message="Bad Request.  The value for variable api_key is not registered."/>',
      kind: 'rejected',
    },
    {
      status: 400,
      headers: { 'content-type': 'text/xml' },
      body: '<error code="400" message="Bad Request. series_id"/>',
      kind: 'bad-request',
    },
    { status: 423, kind: 'rate-limited' },
  ),
  ...['coingecko', 'coingecko_pro'].flatMap((provider) =>
    of(
      provider,
      {
        status: 401,
        body: {
          status: { error_code: 10005, error_message: 'This request is limited to PRO API subscribers.' },
        },
        kind: 'restricted',
      },
      { status: 400, body: { error: { status: { error_code: 10011 } } }, kind: 'rejected' },
      { status: 403, body: 'error code: 1020', kind: 'restricted', scope: 'egress' },
      {
        status: 429,
        headers: { 'retry-after': '60' },
        body: { status: { error_code: 429 } },
        kind: 'rate-limited',
        scope: 'bucket',
        waitMs: MINUTE,
      },
    ),
  ),
  ...of(
    'coinmarketcap',
    { status: 429, body: coinMarketCap(1011, 'IP rate limit'), kind: 'rate-limited', scope: 'egress' },
    { status: 429, body: coinMarketCap(1008, 'Minute rate limit'), kind: 'rate-limited', waitMs: MINUTE },
    { status: 429, body: coinMarketCap(1009, 'Daily rate limit'), kind: 'quota-exhausted' },
    { status: 429, body: coinMarketCap(1010, 'Monthly rate limit'), kind: 'quota-exhausted' },
    { status: 402, body: coinMarketCap(1003, 'Payment required'), kind: 'quota-exhausted' },
    { status: 403, body: coinMarketCap(1007, 'API key disabled'), kind: 'rejected' },
    { status: 200, body: coinMarketCap(1006, 'Plan'), kind: 'restricted' },
    { status: 200, body: coinMarketCap(500, 'Internal'), kind: 'overloaded' },
    { status: 200, body: coinMarketCap(400, 'Bad symbol'), kind: 'bad-request' },
    { status: 200, body: { ...coinMarketCap(0, ''), data: {} }, kind: 'success' },
  ),
  ...of('cryptocompare', {
    status: 200,
    body: {
      Response: 'Error',
      Type: 99,
      Message: 'You are over your rate limit please upgrade your account!',
    },
    kind: 'rate-limited',
  }),
  ...of(
    'newsapi',
    { status: 429, body: { status: 'error', code: 'rateLimited' }, kind: 'quota-exhausted' },
    { status: 429, body: { status: 'error', code: 'apiKeyExhausted' }, kind: 'quota-exhausted' },
    { status: 426, body: { status: 'error', code: 'maximumResultsReached' }, kind: 'restricted' },
  ),
  ...of(
    'yahoo_finance',
    {
      status: 200,
      headers: { 'content-type': 'text/plain' },
      body: 'Too Many Requests\r\n',
      kind: 'rate-limited',
      scope: 'egress',
    },
    {
      status: 401,
      body: { finance: { error: { code: 'Unauthorized', description: 'Invalid Crumb' } } },
      kind: 'bad-request',
    },
    { status: 403, body: 'Forbidden', kind: 'restricted', scope: 'egress' },
  ),
  ...of(
    'rapidapi',
    {
      status: 429,
      body: { message: 'You have exceeded the MONTHLY quota for Requests on your current plan, BASIC.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 429,
      headers: { 'x-ratelimit-requests-remaining': '0', 'x-ratelimit-requests-reset': '7200' },
      body: { message: 'You have exceeded the DAILY quota for Requests on your current plan, BASIC.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: 2 * HOUR,
    },
    {
      status: 429,
      body: { message: 'You have exceeded the HOURLY quota for Units.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: HOUR,
    },
    { status: 429, body: { message: 'Too many requests' }, kind: 'rate-limited', scope: 'bucket' },
    { status: 403, body: { message: 'Invalid API key.' }, kind: 'rejected' },
    {
      status: 403,
      body: { message: 'You are not subscribed to this API.' },
      kind: 'restricted',
      scope: 'route',
    },
  ),
  ...of(
    'binance',
    {
      status: 418,
      headers: { 'retry-after': '120' },
      body: { code: -1003, msg: 'Way too many requests; IP banned.' },
      kind: 'rate-limited',
      scope: 'egress',
      waitMs: 2 * MINUTE,
    },
    { status: 403, body: '<html>Forbidden</html>', kind: 'restricted', scope: 'egress' },
    { status: 401, body: { code: -2014, msg: 'API-key format invalid.' }, kind: 'rejected' },
    {
      status: 400,
      body: { code: -2015, msg: 'Invalid API-key, IP, or permissions for action.' },
      kind: 'rejected',
    },
    {
      status: 400,
      body: { code: -1021, msg: 'Timestamp for this request is outside of the recvWindow.' },
      kind: 'bad-request',
    },
  ),
  ...of(
    'kraken',
    { status: 200, body: kraken('EAPI:Rate limit exceeded'), kind: 'rate-limited' },
    { status: 200, body: kraken('EGeneral:Temporary lockout'), kind: 'rate-limited' },
    {
      status: 200,
      body: kraken(`EService:Throttled: ${NOW / 1000 + 9}`),
      kind: 'rate-limited',
      waitMs: 9_000,
    },
    { status: 200, body: kraken('EAPI:Invalid nonce'), kind: 'bad-request' },
    { status: 200, body: kraken('EAPI:Invalid key'), kind: 'rejected' },
    { status: 200, body: kraken('EService:Unavailable'), kind: 'overloaded' },
    { status: 200, body: { error: [], result: {} }, kind: 'success' },
  ),
];
