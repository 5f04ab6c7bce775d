/** Clients whose requests have to go out as they are: signed with the key, or without any key. */
import { load } from './clients.mjs';

let exchange;
let finance;

export const untouchedRows = [
  {
    name: 'ccxt, a signed request',
    site: 'exchange',
    untouched: true,
    call: async ({ origin, key, secret }) => {
      if (exchange === undefined) {
        const { binance } = await load('ccxt');
        exchange = new binance({ apiKey: key, secret, enableRateLimit: false });
        exchange.urls.api = Object.fromEntries(
          Object.keys(exchange.urls.api).map((part) => [part, `${origin}/api/v3`]),
        );
      }
      return JSON.stringify(await exchange.privateGetAccount({ omitZeroBalances: 'true' }));
    },
  },
  {
    name: 'yahoo-finance2, no key',
    site: 'keyless',
    untouched: true,
    schemes: ['https'],
    call: async ({ origin }) => {
      if (finance === undefined) {
        const YahooFinance = await load('yahoo-finance2');
        finance = new YahooFinance({
          YF_QUERY_HOST: new URL(origin).host,
          suppressNotices: ['yahooSurvey'],
          validation: { logErrors: false, logOptionsErrors: false },
        });
      }
      return JSON.stringify(await finance.search('IBM', {}, { validateResult: false }));
    },
  },
];
