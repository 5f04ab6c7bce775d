import type { Undo } from '../manager/phases.js';

/**
 * Lets Node programs that this one starts (spawn, fork, exec, cluster) load the preload too, by `NODE_OPTIONS`, which
 * they inherit. `--require`, since it also reaches workers that run `eval` code.
 */
export function installPropagation(preloadPath: string): Undo {
  const env = process.env;
  const before = env['NODE_OPTIONS'];
  if (before?.includes(preloadPath) === true) return () => {};
  const flag = `--require ${JSON.stringify(preloadPath)}`;
  const after = before === undefined || before === '' ? flag : `${before} ${flag}`;
  env['NODE_OPTIONS'] = after;
  return () => {
    if (env['NODE_OPTIONS'] !== after) return;
    if (before === undefined) delete env['NODE_OPTIONS'];
    else env['NODE_OPTIONS'] = before;
  };
}
