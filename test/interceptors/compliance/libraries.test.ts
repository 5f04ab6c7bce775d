import { compareRuns } from './comparison.js';

await compareRuns('libraries.mjs');
