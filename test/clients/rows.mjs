/**
 * How applications call their clients, one row each. `call` resolves with the text of the answer.
 *
 * - `site`: which of the servers it talks to; default `bearer`
 * - `once`: a request that can be sent only once, as its body is a stream
 * - `hops`: redirects that it follows
 * - `schemes`: where it does not speak both `http` and `https`
 * - `untouched`: its requests are to go out exactly as it made them
 */
import { fetchRows } from './rows/built-in-fetch.mjs';
import { libraryRows } from './rows/libraries.mjs';
import { nodeHttpRows } from './rows/node-http.mjs';
import { sdkRows } from './rows/sdks.mjs';
import { undiciRows } from './rows/undici.mjs';
import { untouchedRows } from './rows/untouched.mjs';
import { webSocketRows } from './rows/web-sockets.mjs';

export const rows = [
  ...fetchRows,
  ...undiciRows,
  ...nodeHttpRows,
  ...libraryRows,
  ...webSocketRows,
  ...sdkRows,
  ...untouchedRows,
].map((row) => ({
  site: 'bearer',
  schemes: ['http', 'https'],
  hops: 0,
  once: false,
  untouched: false,
  ...row,
}));
