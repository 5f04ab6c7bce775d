/** The Ed25519 key that checkpoints are signed with. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createFile } from '../config/replaced-file.js';
import { KeymuxError } from '../core/errors.js';

/** RFC 8410: what stands before the 32 bytes of an Ed25519 seed in PKCS #8. */
const SEED_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

export interface AuditSigner {
  /** SHA-256 of the public key (SPKI), 32 digits of it. */
  readonly fingerprint: string;
  /** PEM. */
  readonly publicKey: string;
  /** Base64. */
  sign(text: Buffer): string;
}

/** From the vault: everybody who can open it signs with the same key, and no file holds it. */
export function signerFromSeed(seed: Uint8Array): AuditSigner {
  return signerOf(
    createPrivateKey({ key: Buffer.concat([SEED_PREFIX, seed]), format: 'der', type: 'pkcs8' }),
  );
}

/**
 * Reads the key in a file, which is made where there is none (0600). Throws what the file system throws.
 * @throws `KEYMUX_AUDIT_UNAVAILABLE` where the file holds something else, which is left as it is
 */
export function signerFromFile(path: string): AuditSigner {
  try {
    return signerOf(keyIn(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  makeKeyFile(path);
  return signerOf(keyIn(path));
}

function keyIn(path: string): KeyObject {
  const text = readFileSync(path);
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // What the parser says may quote what stands there.
  }
  throw new KeymuxError('KEYMUX_AUDIT_UNAVAILABLE', `The signing key ${path} is damaged.`, {
    fix: 'Put back a copy of it, or move it away: then a new one is made, and what was signed before still holds.',
  });
}

/** Of two processes that start at once, one makes the key. */
function makeKeyFile(path: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  createFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}

function signerOf(privateKey: KeyObject): AuditSigner {
  const publicKey = createPublicKey(privateKey);
  return {
    fingerprint: fingerprintOf(publicKey),
    publicKey: pemOf(publicKey),
    sign: (text) => sign(null, text, privateKey).toString('base64'),
  };
}

function pemOf(publicKey: KeyObject): string {
  return publicKey.export({ type: 'spki', format: 'pem' }).toString();
}

export function fingerprintOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 32);
}

/** The key in a PEM text; undefined where it is not the one of this fingerprint, or not written as `signerOf` writes it. */
export function publicKeyOf(pem: string, fingerprint: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem);
    return fingerprintOf(key) === fingerprint && pemOf(key) === pem ? key : undefined;
  } catch {
    return undefined;
  }
}

export function isSigned(text: Buffer, signature: unknown, key: KeyObject): boolean {
  return typeof signature === 'string' && verify(null, text, key, Buffer.from(signature, 'base64'));
}
