import { compareRuns } from './comparison.js';

await compareRuns('node-http.mjs');
