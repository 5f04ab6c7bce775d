import type { CatalogueEntry } from './catalogue-entry.js';
import { alchemy } from './catalogue/alchemy.js';
import { alpaca } from './catalogue/alpaca.js';
import { alphaVantage } from './catalogue/alpha-vantage.js';
import { anthropic } from './catalogue/anthropic.js';
import { azureOpenai } from './catalogue/azure-openai.js';
import { binance } from './catalogue/binance.js';
import { braveSearch } from './catalogue/brave-search.js';
import { cohere } from './catalogue/cohere.js';
import { coinbase } from './catalogue/coinbase.js';
import { coingecko } from './catalogue/coingecko.js';
import { coingeckoPro } from './catalogue/coingecko-pro.js';
import { coinmarketcap } from './catalogue/coinmarketcap.js';
import { cryptocompare } from './catalogue/cryptocompare.js';
import { deepseek } from './catalogue/deepseek.js';
import { eodhd } from './catalogue/eodhd.js';
import { etherscan } from './catalogue/etherscan.js';
import { finnhub } from './catalogue/finnhub.js';
import { fmp } from './catalogue/fmp.js';
import { fred } from './catalogue/fred.js';
import { gemini } from './catalogue/gemini.js';
import { github } from './catalogue/github.js';
import { googleMaps } from './catalogue/google-maps.js';
import { groq } from './catalogue/groq.js';
import { infura } from './catalogue/infura.js';
import { kraken } from './catalogue/kraken.js';
import { marketstack } from './catalogue/marketstack.js';
import { mistral } from './catalogue/mistral.js';
import { nasdaqDataLink } from './catalogue/nasdaq-data-link.js';
import { newsapi } from './catalogue/newsapi.js';
import { openai } from './catalogue/openai.js';
import { openrouter } from './catalogue/openrouter.js';
import { openweather } from './catalogue/openweather.js';
import { perplexity } from './catalogue/perplexity.js';
import { polygon } from './catalogue/polygon.js';
import { rapidapi } from './catalogue/rapidapi.js';
import { sendgrid } from './catalogue/sendgrid.js';
import { serpapi } from './catalogue/serpapi.js';
import { stripe } from './catalogue/stripe.js';
import { tavily } from './catalogue/tavily.js';
import { tiingo } from './catalogue/tiingo.js';
import { together } from './catalogue/together.js';
import { twelveData } from './catalogue/twelve-data.js';
import { xai } from './catalogue/xai.js';
import { yahooFinance } from './catalogue/yahoo-finance.js';

const entries: readonly CatalogueEntry[] = [
  alchemy,
  alpaca,
  alphaVantage,
  anthropic,
  azureOpenai,
  binance,
  braveSearch,
  cohere,
  coinbase,
  coingecko,
  coingeckoPro,
  coinmarketcap,
  cryptocompare,
  deepseek,
  eodhd,
  etherscan,
  finnhub,
  fmp,
  fred,
  gemini,
  github,
  googleMaps,
  groq,
  infura,
  kraken,
  marketstack,
  mistral,
  nasdaqDataLink,
  newsapi,
  openai,
  openrouter,
  openweather,
  perplexity,
  polygon,
  rapidapi,
  sendgrid,
  serpapi,
  stripe,
  tavily,
  tiingo,
  together,
  twelveData,
  xai,
  yahooFinance,
];

/** Every provider that is known without configuration, by id. */
export const catalogue: ReadonlyMap<string, CatalogueEntry> = new Map(
  entries.map((entry) => [entry.id, entry]),
);

let byOrigin: ReadonlyMap<string, CatalogueEntry> | undefined;

/** The provider that an origin such as `https://api.openai.com` belongs to; compared exactly. */
export function providerFor(origin: string): CatalogueEntry | undefined {
  byOrigin ??= new Map(entries.flatMap((entry) => entry.origins.map((each) => [each, entry] as const)));
  return byOrigin.get(origin);
}
