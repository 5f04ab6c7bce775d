/** The texts by which callers are known, such as `kmx_use_…`. */
import { randomBytes } from 'node:crypto';
import { KeymuxError } from '../core/errors.js';
import { Secret } from '../core/secret.js';
import type { Role } from './access.js';
import { ROLES } from './access.js';

export interface GatewayToken {
  /** For people. */
  readonly name: string;
  readonly role: Role;
  readonly secret: Secret;
}

const TOKEN_BYTES = 32;
/** Role, and what nobody can guess: 24 letters of six bits each are 144 bits. */
const TOKEN = /^kmx_(use|read|admin)_[\w-]{24,}$/;
const ENTRY = /^(?:([A-Za-z][\w.-]{0,39})=)?(\S+)$/;

export function makeToken(role: Role): GatewayToken {
  const text = `kmx_${role}_${randomBytes(TOKEN_BYTES).toString('base64url')}`;
  return { name: role, role, secret: new Secret(text) };
}

export function makeTokens(): readonly GatewayToken[] {
  return ROLES.map(makeToken);
}

/**
 * Reads `TOKEN` or `NAME=TOKEN`, separated by commas, blanks or lines; a line that begins with `#` is a remark.
 * `source` names where the text is from. Throws `KEYMUX_CONFIG_INVALID`.
 */
export function readTokens(text: string, source: string): readonly GatewayToken[] {
  const entries = text
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .flatMap((line) => line.split(/[\s,]+/))
    .filter((entry) => entry !== '');
  if (entries.length === 0) throw faultyTokens(source, 'holds no token');
  return entries.map((entry, index) => {
    const [, name, token = ''] = ENTRY.exec(entry) ?? [];
    const role = TOKEN.exec(token)?.[1] as Role | undefined;
    if (role === undefined)
      throw faultyTokens(source, `holds something else than a token (entry ${index + 1})`);
    return {
      name: name ?? (entries.length === 1 ? role : `${role}-${index + 1}`),
      role,
      secret: new Secret(token),
    };
  });
}

function faultyTokens(source: string, what: string): KeymuxError {
  return new KeymuxError('KEYMUX_CONFIG_INVALID', `${source} ${what}.`, {
    fix: 'A token is `kmx_use_`, `kmx_read_` or `kmx_admin_` and at least 24 random letters, digits, `-` or `_`.',
  });
}
