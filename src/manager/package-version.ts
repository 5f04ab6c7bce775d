import { createRequire } from 'node:module';

/** Of keymux itself. */
export function packageVersion(): string {
  const manifest = createRequire(import.meta.url)('../../package.json') as { readonly version: string };
  return manifest.version;
}
