/** Realistic refusals, at least one for each rule of the catalogue. Not recordings: keys and names are made up. */
import { LANGUAGE_MODELS } from './refusals/language-models.js';
import { MARKET_DATA } from './refusals/market-data.js';
import { OTHERS } from './refusals/others.js';
import type { Refusal } from './refusals/refusal.js';

export { NOW, type Refusal } from './refusals/refusal.js';

export const REFUSALS: readonly Refusal[] = [...MARKET_DATA, ...LANGUAGE_MODELS, ...OTHERS];
