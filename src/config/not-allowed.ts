import { KeymuxError } from '../core/errors.js';
import type { ConfigurationFile, Demand } from './file-content.js';
import { pathText } from './problems.js';

const DEEDS: Readonly<Record<Demand['kind'], string>> = {
  address: 'sends keys to',
  command: 'runs',
  webhook: 'sends alerts to',
  store: 'shares its state through',
  file: 'writes to',
};

/** `providers.acme.baseUrl sends keys to https://acme.example`. */
export function demandText(demand: Demand, text: string = demand.shown): string {
  return `${pathText(demand.path)} ${DEEDS[demand.kind]} ${text}`;
}

/** A file that came with a project must not say where keys go until its user has read it. */
export function notAllowed({ path, name, demands = [], positionOf }: ConfigurationFile): KeymuxError {
  const lines = demands.map((demand) => {
    const line = positionOf(demand.path)?.line;
    return `  ${line === undefined ? '' : `line ${line}: `}${demandText(demand)}`;
  });
  return new KeymuxError(
    'KEYMUX_CONFIG_NOT_ALLOWED',
    `${path ?? name} is not used, since nobody has allowed what it does, or it was changed since:\n${lines.join('\n')}`,
    { fix: 'Read the file; if it is as you want it, run `keymux allow`, or name it in KEYMUX_CONFIG.' },
  );
}
