import type { Catalogue } from './configuration.js';
import type { FileProvider } from './file-content.js';
import type { Problem } from './problems.js';

/** Probes of a file that nobody could send, or that would not be sent anyway. */
export function probeProblems(
  stated: ReadonlyMap<string, FileProvider>,
  catalogue: Catalogue,
  withoutProbes: boolean,
): Problem[] {
  return [...stated].flatMap(([id, provider]): Problem[] => {
    const text = faultOf(provider, catalogue.get(id), withoutProbes);
    return text === undefined ? [] : [{ path: ['providers', id, 'probe'], text }];
  });
}

function faultOf(
  { probe, signed }: FileProvider,
  known: ReturnType<Catalogue['get']>,
  withoutProbes: boolean,
): string | undefined {
  if (probe === undefined) return undefined;
  if (withoutProbes) return 'has no effect beside `api_management.health_monitoring: false`';
  const isOff = probe.dailyBudget === 0;
  if (isOff)
    return known?.probe === undefined ? 'has no effect: this provider is not probed anyway' : undefined;
  const { path, authenticated = true } = { ...known?.probe, ...probe };
  if (path === undefined) return 'needs `path`: the catalogue knows no probe of this provider';
  if (authenticated && (signed ?? known?.signed ?? false))
    return 'needs `authenticated: false`: requests are signed with the key, so that none can be made here';
  return undefined;
}
