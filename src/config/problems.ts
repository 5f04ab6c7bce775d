import { KeymuxError } from '../core/errors.js';
import type { OptionPath, Position } from './file-content.js';
import { readsLikeName } from './plain-names.js';

const MOST_PROBLEMS_TOLD = 20;

/** One thing that is wrong with a configuration file. */
export interface Problem {
  /** Where in the content; absent for a fault of the syntax. */
  readonly path?: OptionPath;
  /** Overrides the position of `path`. */
  readonly position?: Position | undefined;
  /** What is wrong, following the path: `must be a whole number above 0`. Never a value, which may be a key. */
  readonly text: string;
}

/** All problems of a file in one error, in the order of the file. */
export function invalidFile(
  path: string,
  problems: readonly Problem[],
  positionOf: (path: OptionPath) => Position | undefined,
): KeymuxError {
  const located = problems.map((problem) => ({
    text: [problem.path === undefined ? '' : pathText(problem.path), problem.text]
      .filter((part) => part !== '')
      .join(' '),
    position: problem.position ?? (problem.path === undefined ? undefined : positionOf(problem.path)),
  }));
  located.sort((a, b) => lineOf(a) - lineOf(b) || columnOf(a) - columnOf(b));
  const lines = located
    .slice(0, MOST_PROBLEMS_TOLD)
    .map(
      ({ position, text }) =>
        `  ${position === undefined ? '' : `line ${position.line}, column ${position.column}: `}${text}`,
    );
  if (located.length > lines.length) lines.push(`  and ${located.length - lines.length} more`);
  const count = located.length === 1 ? '1 problem' : `${located.length} problems`;
  return new KeymuxError('KEYMUX_CONFIG_INVALID', `${path} has ${count}:\n${lines.join('\n')}`, {
    fix: 'Correct what is named above; docs/configuration.md explains every option.',
  });
}

interface Located {
  readonly position: Position | undefined;
}

function lineOf({ position }: Located): number {
  return position?.line ?? 0;
}

function columnOf({ position }: Located): number {
  return position?.column ?? 0;
}

/** `providers.acme.keys[0].id`. A name that does not read like one is hidden. */
export function pathText(path: OptionPath): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${nameText(step)}`)).join('');
  return text.startsWith('.') ? text.slice(1) : text || 'the file';
}

/** A name as a message may repeat it. */
export function nameText(name: string): string {
  return readsLikeName(name) || name === '<<' || name === '__proto__' ? name : '(a name not shown)';
}
