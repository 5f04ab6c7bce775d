/**
 * Virtual keys: texts that look like a provider's keys and are of use only where keymux stands behind them. Each holds
 * a mark and a check sum, so that every copy of keymux knows one when it meets it, and takes it for no real key.
 */
import { basename, dirname } from 'node:path';
import type { Configuration } from './configuration.js';

/**
 * What keys of a provider look like. `{48}` stands for so many letters and digits, `{32x}` for hexadecimal digits,
 * `{16A}` for capitals and digits. Written after examples in the providers' documentation; only looks hang on it.
 */
const SHAPES: Readonly<Record<string, string>> = {
  alchemy: '{32}',
  alpha_vantage: '{16A}',
  anthropic: 'sk-ant-api03-{95}',
  azure_openai: '{32x}',
  brave_search: 'BSA{28}',
  coingecko: 'CG-{24}',
  coinmarketcap: '{8x}-{4x}-{4x}-{4x}-{12x}',
  cryptocompare: '{64x}',
  deepseek: 'sk-{32x}',
  etherscan: '{34A}',
  finnhub: '{40}',
  fmp: '{32}',
  fred: '{32x}',
  gemini: 'AIza{35}',
  github: 'ghp_{36}',
  google_maps: 'AIza{35}',
  groq: 'gsk_{52}',
  infura: '{32x}',
  marketstack: '{32x}',
  mistral: '{32}',
  nasdaq_data_link: '{20}',
  newsapi: '{32x}',
  openai: 'sk-{48}',
  openrouter: 'sk-or-v1-{64x}',
  openweather: '{32x}',
  perplexity: 'pplx-{48}',
  polygon: '{32}',
  rapidapi: '{50}',
  sendgrid: 'SG.{22}.{43}',
  serpapi: '{64x}',
  stripe: 'sk_live_{24}',
  tavily: 'tvly-{32}',
  tiingo: '{40x}',
  together: '{64x}',
  twelve_data: '{32x}',
  xai: 'xai-{80}',
};

const OTHER_SHAPE = '{40}';
const SLOTS = /\{(\d+)([xA]?)\}/g;

const MARK = 'keymux';
/** The same in hexadecimal digits. */
const HEX_MARK = '6b65796d7578';
const CHECK_DIGITS = 6;
const SEPARATORS = /[-_.]/g;

/**
 * The virtual key of a provider for an application: the same whenever it is asked for, by any thread or process of
 * this installation. `secret` is the installation's (`fingerprint.key`), so that the key tells nothing of either.
 */
export function virtualKeyFor(provider: string, application: string, secret: Uint8Array): string {
  const shape = (Object.hasOwn(SHAPES, provider) ? SHAPES[provider] : undefined) ?? OTHER_SHAPE;
  const slots = [...shape.matchAll(SLOTS)]
    .map(([, count]) => Number(count))
    .reduce((sum, count) => sum + count);
  const mark = shape.includes('x}') ? HEX_MARK : MARK;
  // Loaded when needed, so that a preload without virtual keys stays fast.
  const { createHmac } = process.getBuiltinModule('node:crypto');
  const digits = createHmac('sha512', secret).update(`virtual ${provider} ${application}`).digest('hex');
  const body = mark + digits.slice(0, slots - mark.length - CHECK_DIGITS);
  const unchecked = fill(shape, body.padEnd(slots, '0'));
  return fill(shape, body + checkOf(plain(unchecked).slice(0, -CHECK_DIGITS)));
}

/** Whether a text is a virtual key: of any application, also one on another machine. */
export function isVirtualKey(text: string): boolean {
  const digits = plain(text);
  if (!digits.includes(MARK) && !digits.includes(HEX_MARK)) return false;
  return checkOf(digits.slice(0, -CHECK_DIGITS)) === digits.slice(-CHECK_DIGITS);
}

/** What tells one application from another: the folder of its configuration file, else the working directory. */
export function applicationOf({ sources }: Pick<Configuration, 'sources'>): string {
  const file = sources.find((source) => basename(source) !== '.env');
  return file === undefined ? process.cwd() : dirname(file);
}

function fill(shape: string, characters: string): string {
  let at = 0;
  return shape.replaceAll(SLOTS, (_slots, count: string, kind: string) => {
    const part = characters.slice(at, (at += Number(count)));
    return kind === 'A' ? part.toUpperCase() : part;
  });
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll(SEPARATORS, '');
}

/** FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): it guards against chance, not against people. */
function checkOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0').slice(-CHECK_DIGITS);
}
