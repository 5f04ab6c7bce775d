import { PRELOAD_PATH } from '../preload-path.js';
import { failed, passed, warned } from './check.js';
import type { Check } from './check.js';

const OLDEST = [20, 19] as const;

export function nodeVersionCheck(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isNewEnough = major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
  return isNewEnough
    ? passed('node', `Node ${version}`)
    : failed('node', `Node ${version} is too old.`, `Install Node ${OLDEST.join('.')} or newer.`);
}

/** What `NODE_OPTIONS` says that would get in the way. */
export function nodeOptionsCheck(options: string): Check {
  const name = 'node-options';
  const preloads = [...options.matchAll(/[^\s"=]*register\.c?js/g)].map(([path]) => path);
  const other = preloads.find((path) => path.includes('keymux') && path !== PRELOAD_PATH);
  if (other !== undefined) {
    return warned(
      name,
      `NODE_OPTIONS loads another copy of keymux (${other}).`,
      'Remove it from NODE_OPTIONS, or use the `keymux` command of that copy.',
    );
  }
  if (/(?:^|\s)--(?:experimental-)?permission(?:\s|$)/.test(options)) {
    return warned(
      name,
      'NODE_OPTIONS switches the permission model on, under which the state file cannot be opened.',
      'Allow it (`--allow-addons --allow-fs-read=… --allow-fs-write=…`), or use `store: { type: memory }`.',
    );
  }
  return passed(name, options === '' ? 'NODE_OPTIONS is not set' : 'NODE_OPTIONS has nothing in the way');
}
