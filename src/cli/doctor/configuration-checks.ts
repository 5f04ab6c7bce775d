import type { Configuration } from '../../config/configuration.js';
import { passed, warned } from './check.js';
import type { Check } from './check.js';

export function configurationChecks({ sources, notes }: Configuration): Check[] {
  const read = sources.length === 0 ? 'no file; environment and catalogue are used' : sources.join(', ');
  return [passed('configuration', read), ...notes.map(noteCheck)];
}

function noteCheck(text: string): Check {
  if (text.startsWith('skipped the template value')) {
    return warned('template-value', text, 'Put a real key there, or remove the variable.');
  }
  if (text.includes('hold the same key')) {
    return warned('duplicate', text, 'Remove one of them: the same key twice allows no more requests.');
  }
  return warned('note', text, 'See docs/configuration.md.');
}

export function keyChecks({ providers, credentials }: Configuration): Check[] {
  if (credentials.length === 0) {
    const fix = 'Set a variable such as OPENAI_API_KEY, or name keys in keymux.config.yaml (`keymux init`).';
    return [warned('keys', 'No key was found.', fix)];
  }
  return [...providers.values()].flatMap(({ id }) => {
    const keys = credentials.filter(({ provider }) => provider === id);
    if (keys.length === 0) return [];
    return [passed('keys', `${id}: ${keys.map((key) => `${key.id} (${key.origin})`).join(', ')}`)];
  });
}

/** Providers whose real keys programs never see, and where those come from: by kind only, since a command may hold a secret. */
export function virtualChecks({ providers, credentials }: Configuration): Check[] {
  return [...providers.values()].flatMap(({ id, mode }) => {
    const keys = credentials.filter(({ provider }) => provider === id);
    if (mode !== 'virtual' || keys.length === 0) return [];
    const sources = keys.map((key) => `${key.id} (${key.source?.reference.split(':', 1)[0] ?? key.origin})`);
    return [passed('virtual', `${id}: programs get a virtual key; the real ones: ${sources.join(', ')}`)];
  });
}
