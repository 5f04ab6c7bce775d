import { fileURLToPath } from 'node:url';

/** What Node programs load first, so that their requests are taken care of. */
export const PRELOAD_PATH = fileURLToPath(new URL('../register.cjs', import.meta.url));
