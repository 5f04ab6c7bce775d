/** The Ed25519 key that checkpoints are signed with. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

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

/** Reads the key in a file, which is made where there is none (0600). */
export function signerFromFile(path: string): AuditSigner {
  try {
    return signerOf(createPrivateKey(readFileSync(path)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  makeKeyFile(path);
  return signerOf(createPrivateKey(readFileSync(path)));
}

/** Of two processes that start at once, one makes the key. */
function makeKeyFile(path: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const own = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const file = openSync(own, 'wx', 0o600);
  try {
    writeSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    linkSync(own, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

function signerOf(privateKey: KeyObject): AuditSigner {
  const publicKey = createPublicKey(privateKey);
  return {
    fingerprint: fingerprintOf(publicKey),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    sign: (text) => sign(null, text, privateKey).toString('base64'),
  };
}

export function fingerprintOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 32);
}

/** The key in a PEM text; undefined where it is not the one of this fingerprint. */
export function publicKeyOf(pem: string, fingerprint: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem);
    return fingerprintOf(key) === fingerprint ? key : undefined;
  } catch {
    return undefined;
  }
}

export function isSigned(text: Buffer, signature: unknown, key: KeyObject): boolean {
  return typeof signature === 'string' && verify(null, text, key, Buffer.from(signature, 'base64'));
}
