/** What is known of the providers for people. A program under keymux does without it, so that it stands apart. */
import type { ProviderFacts } from './catalogue-entry.js';
import { alchemy, alchemyFacts } from './catalogue/alchemy.js';
import { alpaca, alpacaFacts } from './catalogue/alpaca.js';
import { alphaVantage, alphaVantageFacts } from './catalogue/alpha-vantage.js';
import { anthropic, anthropicFacts } from './catalogue/anthropic.js';
import { azureOpenai, azureOpenaiFacts } from './catalogue/azure-openai.js';
import { binance, binanceFacts } from './catalogue/binance.js';
import { braveSearch, braveSearchFacts } from './catalogue/brave-search.js';
import { cohere, cohereFacts } from './catalogue/cohere.js';
import { coinbase, coinbaseFacts } from './catalogue/coinbase.js';
import { coingeckoPro, coingeckoProFacts } from './catalogue/coingecko-pro.js';
import { coingecko, coingeckoFacts } from './catalogue/coingecko.js';
import { coinmarketcap, coinmarketcapFacts } from './catalogue/coinmarketcap.js';
import { cryptocompare, cryptocompareFacts } from './catalogue/cryptocompare.js';
import { deepseek, deepseekFacts } from './catalogue/deepseek.js';
import { eodhd, eodhdFacts } from './catalogue/eodhd.js';
import { etherscan, etherscanFacts } from './catalogue/etherscan.js';
import { finnhub, finnhubFacts } from './catalogue/finnhub.js';
import { fmp, fmpFacts } from './catalogue/fmp.js';
import { fred, fredFacts } from './catalogue/fred.js';
import { gemini, geminiFacts } from './catalogue/gemini.js';
import { github, githubFacts } from './catalogue/github.js';
import { googleMaps, googleMapsFacts } from './catalogue/google-maps.js';
import { groq, groqFacts } from './catalogue/groq.js';
import { infura, infuraFacts } from './catalogue/infura.js';
import { kraken, krakenFacts } from './catalogue/kraken.js';
import { marketstack, marketstackFacts } from './catalogue/marketstack.js';
import { mistral, mistralFacts } from './catalogue/mistral.js';
import { nasdaqDataLink, nasdaqDataLinkFacts } from './catalogue/nasdaq-data-link.js';
import { newsapi, newsapiFacts } from './catalogue/newsapi.js';
import { openai, openaiFacts } from './catalogue/openai.js';
import { openrouter, openrouterFacts } from './catalogue/openrouter.js';
import { openweather, openweatherFacts } from './catalogue/openweather.js';
import { perplexity, perplexityFacts } from './catalogue/perplexity.js';
import { polygon, polygonFacts } from './catalogue/polygon.js';
import { rapidapi, rapidapiFacts } from './catalogue/rapidapi.js';
import { sendgrid, sendgridFacts } from './catalogue/sendgrid.js';
import { serpapi, serpapiFacts } from './catalogue/serpapi.js';
import { stripe, stripeFacts } from './catalogue/stripe.js';
import { tavily, tavilyFacts } from './catalogue/tavily.js';
import { tiingo, tiingoFacts } from './catalogue/tiingo.js';
import { together, togetherFacts } from './catalogue/together.js';
import { twelveData, twelveDataFacts } from './catalogue/twelve-data.js';
import { xai, xaiFacts } from './catalogue/xai.js';
import { yahooFinance, yahooFinanceFacts } from './catalogue/yahoo-finance.js';

/** By the provider's id; one for each entry of the catalogue. */
export const catalogueFacts: ReadonlyMap<string, ProviderFacts> = new Map([
  [alchemy.id, alchemyFacts],
  [alpaca.id, alpacaFacts],
  [alphaVantage.id, alphaVantageFacts],
  [anthropic.id, anthropicFacts],
  [azureOpenai.id, azureOpenaiFacts],
  [binance.id, binanceFacts],
  [braveSearch.id, braveSearchFacts],
  [cohere.id, cohereFacts],
  [coinbase.id, coinbaseFacts],
  [coingeckoPro.id, coingeckoProFacts],
  [coingecko.id, coingeckoFacts],
  [coinmarketcap.id, coinmarketcapFacts],
  [cryptocompare.id, cryptocompareFacts],
  [deepseek.id, deepseekFacts],
  [eodhd.id, eodhdFacts],
  [etherscan.id, etherscanFacts],
  [finnhub.id, finnhubFacts],
  [fmp.id, fmpFacts],
  [fred.id, fredFacts],
  [gemini.id, geminiFacts],
  [github.id, githubFacts],
  [googleMaps.id, googleMapsFacts],
  [groq.id, groqFacts],
  [infura.id, infuraFacts],
  [kraken.id, krakenFacts],
  [marketstack.id, marketstackFacts],
  [mistral.id, mistralFacts],
  [nasdaqDataLink.id, nasdaqDataLinkFacts],
  [newsapi.id, newsapiFacts],
  [openai.id, openaiFacts],
  [openrouter.id, openrouterFacts],
  [openweather.id, openweatherFacts],
  [perplexity.id, perplexityFacts],
  [polygon.id, polygonFacts],
  [rapidapi.id, rapidapiFacts],
  [sendgrid.id, sendgridFacts],
  [serpapi.id, serpapiFacts],
  [stripe.id, stripeFacts],
  [tavily.id, tavilyFacts],
  [tiingo.id, tiingoFacts],
  [together.id, togetherFacts],
  [twelveData.id, twelveDataFacts],
  [xai.id, xaiFacts],
  [yahooFinance.id, yahooFinanceFacts],
]);
