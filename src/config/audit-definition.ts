import { join, resolve } from 'node:path';
import type { Configuration } from './configuration.js';
import type { ConfigurationFile } from './file-content.js';

/** Where the trail is kept, if the file asks for one. `stateFolder`: that of the user. */
export function auditOf(
  file: ConfigurationFile | undefined,
  stateFolder: string,
): Pick<Configuration, 'audit'> {
  const stated = file?.content.audit;
  if (file === undefined || stated === undefined) return {};
  const path = stated.path === undefined ? join(stateFolder, 'audit') : resolve(file.folder, stated.path);
  return { audit: { path, failClosed: stated.failClosed ?? false } };
}
