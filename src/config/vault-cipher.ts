/** The vault as a file of age: encrypted for public keys or under a passphrase, in ASCII armour. */
import type { Decrypter } from 'age-encryption';

type Age = typeof import('age-encryption');

/** Loaded when it is needed: it takes longer than all the rest of most commands. */
const loadAge = async (): Promise<Age> => import('age-encryption');

/** What opens a vault. Never leaves the process. */
export type VaultKey =
  | { readonly kind: 'identities'; readonly identities: readonly string[] }
  | { readonly kind: 'passphrase'; readonly passphrase: string };

/**
 * Why a file was not decrypted. `wrong-key`: none of the identities, or not the passphrase; a file whose head was
 * changed may look the same. `bad-key`: an identity is mistyped or of a kind that is not known.
 */
export type Refusal = 'not-age' | 'damaged' | 'wrong-key' | 'bad-key';

export type Decrypted = { readonly text: string } | { readonly refusal: Refusal };

export type Sealing =
  | { readonly recipients: readonly string[] }
  /** `workFactor`: base-2 logarithm; absent, the library's. */
  | { readonly passphrase: string; readonly workFactor?: number | undefined };

const FIRST_LINE = '-----BEGIN AGE ENCRYPTED FILE-----';

/** `armour`: the bytes of the file as Latin-1, so that each byte counts. */
export async function decryptArmour(armour: string, key: VaultKey): Promise<Decrypted> {
  if (!armour.startsWith(FIRST_LINE)) return { refusal: 'not-age' };
  const age = await loadAge();
  const file = strictlyDecoded(age, armour.replaceAll('\r\n', '\n'));
  if (file === undefined) return { refusal: 'damaged' };
  const decrypter = decrypterFor(age, key);
  if (decrypter === undefined) return { refusal: 'bad-key' };
  try {
    const bytes = await decrypter.decrypt(file);
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch (error) {
    const isWrongKey = error instanceof Error && error.message.startsWith('no identity matched');
    return { refusal: isWrongKey ? 'wrong-key' : 'damaged' };
  }
}

/** The library forgives blanks around the armour; a file that was changed is not forgiven. */
function strictlyDecoded({ armor }: Age, armour: string): Uint8Array | undefined {
  try {
    const file = armor.decode(armour);
    return armor.encode(file) === armour ? file : undefined;
  } catch {
    return undefined;
  }
}

function decrypterFor(age: Age, key: VaultKey): Decrypter | undefined {
  const decrypter = new age.Decrypter();
  try {
    if (key.kind === 'passphrase') decrypter.addPassphrase(key.passphrase);
    else for (const identity of key.identities) decrypter.addIdentity(identity);
    return decrypter;
  } catch {
    return undefined;
  }
}

export async function encryptArmour(text: string, sealing: Sealing): Promise<string> {
  const { armor, Encrypter } = await loadAge();
  const encrypter = new Encrypter();
  if ('passphrase' in sealing) {
    if (sealing.workFactor !== undefined) encrypter.setScryptWorkFactor(sealing.workFactor);
    encrypter.setPassphrase(sealing.passphrase);
  } else {
    for (const recipient of sealing.recipients) encrypter.addRecipient(recipient);
  }
  return armor.encode(await encrypter.encrypt(text));
}

/** Whether age can encrypt for this. */
export async function isRecipient(text: string): Promise<boolean> {
  const { Encrypter } = await loadAge();
  try {
    new Encrypter().addRecipient(text);
    return true;
  } catch {
    return false;
  }
}

/** The public keys of a key; none for a passphrase, undefined where an identity cannot be read. */
export async function recipientsOf(key: VaultKey): Promise<string[] | undefined> {
  if (key.kind === 'passphrase') return [];
  const { identityToRecipient } = await loadAge();
  try {
    return await Promise.all(key.identities.map((identity) => identityToRecipient(identity)));
  } catch {
    return undefined;
  }
}

/** A new `AGE-SECRET-KEY-1…`. */
export async function makeIdentity(): Promise<string> {
  return (await loadAge()).generateIdentity();
}
