import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where keymux keeps the state of one user: `KEYMUX_STATE_DIR` if it is set, else the place that the platform has
 * for it: `$XDG_STATE_HOME/keymux` or `~/.local/state/keymux`, on macOS `~/Library/Application Support/keymux`, on
 * Windows `%LOCALAPPDATA%\keymux`.
 */
export function stateDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = env['HOME'] ?? homedir(),
): string {
  if (isSet(env['KEYMUX_STATE_DIR'])) return env['KEYMUX_STATE_DIR'];
  switch (platform) {
    case 'darwin':
      return join(home, 'Library', 'Application Support', 'keymux');
    case 'win32':
      return join(
        isSet(env['LOCALAPPDATA']) ? env['LOCALAPPDATA'] : join(home, 'AppData', 'Local'),
        'keymux',
      );
    default:
      return join(
        isSet(env['XDG_STATE_HOME']) ? env['XDG_STATE_HOME'] : join(home, '.local', 'state'),
        'keymux',
      );
  }
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}
