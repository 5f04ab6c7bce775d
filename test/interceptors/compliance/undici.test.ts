import { compareRuns } from './comparison.js';

await compareRuns('undici.mjs');
