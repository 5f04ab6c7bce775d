import { homedir } from 'node:os';
import { auditOf } from '../config/audit-definition.js';
import { readEnvironment } from '../config/environment.js';
import { readConfigurationFile } from '../config/file.js';
import { locateConfigurationFile } from '../config/file-search.js';
import { vaultOf } from '../config/vault-definition.js';
import { auditOnce } from '../observe/audit.js';
import { catalogue } from '../providers/catalogue.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';

/** What a command changed beside the keys of a running program. */
export interface AuditedChange {
  readonly type: 'vault' | 'allowed';
  /** Names and paths; never a value. */
  readonly data: Readonly<Record<string, string>>;
}

/** Writes it into the audit trail of the configuration of the working directory, where that has one. */
export function auditChange({ type, data }: AuditedChange): void {
  const environment = readEnvironment(process.env, process.cwd());
  const { path } = locateConfigurationFile(environment, process.cwd(), homedir());
  if (path === undefined) return;
  const file = readConfigurationFile(path, catalogue);
  const vault = vaultOf(file);
  const configuration = {
    ...auditOf(file, stateDirectory(process.env)),
    ...(vault === undefined ? {} : { vault }),
  };
  auditOnce(configuration, { type, data: { ...data, by: 'cli' } }, { application: 'keymux' });
}
