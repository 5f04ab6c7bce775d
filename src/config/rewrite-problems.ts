import type { ProviderDefinition } from '../core/provider.js';
import type { FileService, OptionPath } from './file-content.js';
import type { Problem } from './problems.js';

/** What speaks against sending a request for one provider of a service with `rewrite` to another one. */
export function rewriteProblems(
  services: ReadonlyMap<string, FileService>,
  providers: ReadonlyMap<string, ProviderDefinition>,
): Problem[] {
  const taken = new Map<string, string>();
  return [...services]
    .filter(([, { rewrite }]) => rewrite !== undefined)
    .flatMap(([name, service]) => [
      ...nameProblems(name, providers),
      ...protocolProblems(name, service, providers),
      ...doubleProblems(name, service, taken),
    ]);
}

/** Under its own name, a provider is asked for with its own keys alone. */
function nameProblems(name: string, providers: ReadonlyMap<string, ProviderDefinition>): Problem[] {
  if (!providers.has(name)) return [];
  return [
    { path: ['services', name, 'rewrite'], text: 'needs a service that is not called like a provider' },
  ];
}

function protocolProblems(
  name: string,
  service: FileService,
  providers: ReadonlyMap<string, ProviderDefinition>,
): Problem[] {
  const [first] = service.providers.flatMap((id) => providers.get(id)?.protocol?.name ?? []);
  return service.providers.flatMap((id, index): Problem[] => {
    const path: OptionPath = ['services', name, 'providers', index];
    const provider = providers.get(id);
    if (provider === undefined) return [];
    if (provider.signed) return [{ path, text: 'signs its requests, so that none of them can be rewritten' }];
    if (provider.protocol === undefined)
      return [{ path, text: `cannot stand beside \`rewrite\` without \`providers.${id}.protocol\`` }];
    if (provider.protocol.name === first) return [];
    return [{ path, text: `speaks \`${provider.protocol.name}\`, and the first one \`${first}\`` }];
  });
}

/** A request to a provider must belong to one service. */
function doubleProblems(name: string, service: FileService, taken: Map<string, string>): Problem[] {
  return service.providers.flatMap((id, index): Problem[] => {
    const other = taken.get(id);
    if (other === undefined) {
      taken.set(id, name);
      return [];
    }
    const path: OptionPath = ['services', name, 'providers', index];
    return [{ path, text: `stands already in services.${other}, which has \`rewrite\` too` }];
  });
}
