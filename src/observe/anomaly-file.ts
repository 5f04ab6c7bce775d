/**
 * Where it is kept what is usual, across restarts: one file for all programs of the user that have the same configuration.
 * It holds counts, and names of programs and origins; where there is a vault, it is sealed with a key of it.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { systemCodeOf } from '../config/environment.js';
import { replaceFile } from '../config/replaced-file.js';
import { mergedBaselines, newBaselines, readBaselines, writtenBaselines } from '../core/anomaly-baselines.js';
import type { Baselines } from '../core/anomaly-baselines.js';

const VERSION = 1;
const LARGEST_BYTES = 16_777_216;
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export class AnomalyFile {
  readonly path: string;
  readonly #key: Uint8Array | undefined;
  readonly #warn: (message: string) => void;
  #isBroken = false;

  /** `name`: what the programs that share it have in common. `key`: 32 bytes; absent, it is written in clear. */
  constructor(
    stateFolder: string,
    name: string,
    key: Uint8Array | undefined,
    warn: (message: string) => void,
  ) {
    const id = createHash('sha256').update(name).digest('hex').slice(0, 32);
    this.path = join(stateFolder, 'anomalies', `${id}.json`);
    this.#key = key;
    this.#warn = warn;
  }

  /** What is usual, as far as it was kept. A file that cannot be understood is set aside. */
  read(): Baselines {
    const text = this.#text();
    if (text === undefined) return newBaselines();
    const found = this.#understood(text);
    if (found !== undefined) return found;
    this.#setAside();
    return newBaselines();
  }

  /** Adds what this process learnt to what others did. Never throws. */
  save(learnt: Baselines): void {
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
      const content = writtenBaselines(mergedBaselines(learnt, this.read()));
      const stated =
        this.#key === undefined ? { content } : { sealed: sealed(JSON.stringify(content), this.#key) };
      replaceFile(this.path, `${JSON.stringify({ 'keymux-anomalies': VERSION, ...stated })}\n`);
      this.#isBroken = false;
    } catch {
      if (this.#isBroken) return;
      this.#isBroken = true;
      this.#warn(`keymux: ${this.path} cannot be written; after a restart it is learnt anew what is usual.`);
    }
  }

  #text(): string | undefined {
    try {
      return statSync(this.path).size > LARGEST_BYTES ? '' : readFileSync(this.path, 'utf8');
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #understood(text: string): Baselines | undefined {
    try {
      const { content, sealed: closed } = JSON.parse(text) as { content?: unknown; sealed?: unknown };
      // What was written before there was a vault is taken over.
      if (typeof closed !== 'string') return readBaselines(content);
      return this.#key === undefined ? undefined : readBaselines(JSON.parse(opened(closed, this.#key)));
    } catch {
      return undefined;
    }
  }

  #setAside(): void {
    const aside = `${this.path}.damaged-${process.pid}-${Date.now()}`;
    renameSync(this.path, aside);
    this.#warn(
      `keymux: ${this.path} cannot be understood; it is kept as ${aside}, and learning begins anew.`,
    );
  }
}

function sealed(text: string, key: Uint8Array): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce);
  const closed = [cipher.update(text, 'utf8'), cipher.final()];
  return Buffer.concat([nonce, cipher.getAuthTag(), ...closed]).toString('base64');
}

function opened(text: string, key: Uint8Array): string {
  const bytes = Buffer.from(text, 'base64');
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
}
