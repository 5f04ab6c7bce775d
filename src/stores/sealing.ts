/** Sealing of single texts. Names are sealed so that equal ones stay equal, all else so that nothing can be told. */

/** What a name stands for. The same name is sealed differently for each. */
export type NameKind = 'subject' | 'bucket' | 'member' | 'group' | 'charge';

const NAME_KINDS: readonly NameKind[] = ['subject', 'bucket', 'member', 'group', 'charge'];
const NAME_MARK = 'kmn1.';
const TEXT_MARK = 'kmt1.';
const SEALED_NAME = /kmn1\.[A-Za-z0-9_-]+/g;
const KEY_BYTES = 32;
const SIV_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** A fleet has few names; of more, those seen before are worked out anew. */
const MOST_KEPT = 4_096;

type Crypto = typeof import('node:crypto');

export class Sealing {
  readonly #crypto: Crypto = process.getBuiltinModule('node:crypto');
  readonly #macKey: Uint8Array;
  readonly #nameKey: Uint8Array;
  readonly #textKey: Uint8Array;
  readonly #sealed = new Map<string, string>();
  readonly #opened = new Map<string, string>();

  /** `key`: 32 bytes, the same for all members of a fleet. */
  constructor(key: Uint8Array) {
    this.#macKey = this.#derive(key, 'name mac');
    this.#nameKey = this.#derive(key, 'name cipher');
    this.#textKey = this.#derive(key, 'text cipher');
  }

  /** The same for everybody with this key. The HMAC of the name serves as nonce, and proves the name when it is opened. */
  sealName(kind: NameKind, name: string): string {
    const place = `${kind} ${name}`;
    const known = this.#sealed.get(place);
    if (known !== undefined) return known;
    const siv = this.#sivOf(kind, name);
    const cipher = this.#crypto.createCipheriv('aes-256-ctr', this.#nameKey, siv);
    const text = Buffer.concat([siv, cipher.update(name, 'utf8'), cipher.final()]).toString('base64url');
    return keep(this.#sealed, place, `${NAME_MARK}${text}`);
  }

  /** Undefined where it was sealed with another key, for another kind, was changed, or was never sealed. */
  openName(kind: NameKind, sealed: string): string | undefined {
    const place = `${kind} ${sealed}`;
    const known = this.#opened.get(place);
    if (known !== undefined) return known;
    const bytes = bytesOf(sealed, NAME_MARK);
    if (bytes === undefined || bytes.length <= SIV_BYTES) return undefined;
    const siv = bytes.subarray(0, SIV_BYTES);
    const decipher = this.#crypto.createDecipheriv('aes-256-ctr', this.#nameKey, siv);
    const name = Buffer.concat([decipher.update(bytes.subarray(SIV_BYTES)), decipher.final()]).toString();
    if (!this.#crypto.timingSafeEqual(siv, this.#sivOf(kind, name))) return undefined;
    return keep(this.#opened, place, name);
  }

  /** `about` is bound to it: the text cannot be opened in another place. */
  sealText(text: string, about: string): string {
    const nonce = this.#crypto.randomBytes(NONCE_BYTES);
    const cipher = this.#crypto.createCipheriv('aes-256-gcm', this.#textKey, nonce, {
      authTagLength: TAG_BYTES,
    });
    cipher.setAAD(Buffer.from(about));
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `${TEXT_MARK}${Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url')}`;
  }

  /** Undefined where it was sealed with another key or for another place, was changed, or was never sealed. */
  openText(sealed: string, about: string): string | undefined {
    const bytes = bytesOf(sealed, TEXT_MARK);
    if (bytes === undefined || bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const nonce = bytes.subarray(0, NONCE_BYTES);
    const decipher = this.#crypto.createDecipheriv('aes-256-gcm', this.#textKey, nonce, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(about));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const body = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
      return Buffer.concat([body, decipher.final()]).toString();
    } catch {
      return undefined;
    }
  }

  /** A message with the names in it as people know them. */
  openMessage(message: string): string {
    return message.replace(SEALED_NAME, (sealed) => {
      for (const kind of NAME_KINDS) {
        const name = this.openName(kind, sealed);
        if (name !== undefined) return name;
      }
      return sealed;
    });
  }

  #derive(key: Uint8Array, purpose: string): Uint8Array {
    return new Uint8Array(
      this.#crypto.hkdfSync('sha256', key, new Uint8Array(0), `keymux store 1 ${purpose}`, KEY_BYTES),
    );
  }

  #sivOf(kind: NameKind, name: string): Buffer {
    const mac = this.#crypto.createHmac('sha256', this.#macKey).update(`${kind}\0${name}`);
    return mac.digest().subarray(0, SIV_BYTES);
  }
}

/** Undefined unless it is written in the one way that sealing writes it. */
function bytesOf(sealed: string, mark: string): Buffer | undefined {
  if (!sealed.startsWith(mark)) return undefined;
  const text = sealed.slice(mark.length);
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function keep(kept: Map<string, string>, place: string, value: string): string {
  if (kept.size >= MOST_KEPT) kept.clear();
  kept.set(place, value);
  return value;
}
