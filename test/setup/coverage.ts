import { takeCoverage } from 'node:v8';
import { afterAll } from 'vitest';

// Vitest ends its forks by a signal, upon which Node writes no coverage; so each test file writes its own.
if (process.env.NODE_V8_COVERAGE !== undefined) afterAll(takeCoverage);
