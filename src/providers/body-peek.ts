import type { ZlibOptions } from 'node:zlib';
import { LONGEST_TEXT } from './body-json.js';
import { zlib } from './lazy-zlib.js';

/** How much of a body is looked at. Bytes, as sent. */
export const PEEK_BYTES = 4_096;
/** At most; a response that names more encodings than this is nothing that a provider sends. */
const MOST_ENCODINGS = 3;

const decoder = new TextDecoder();

type Unpack = (bytes: Uint8Array, limits: { maxOutputLength: number }) => Uint8Array;

const gunzip: Unpack = (bytes, limits) => zlib().gunzipSync(bytes, upToHere(limits));

const UNPACK: Readonly<Record<string, Unpack>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: inflate,
  br: (bytes, limits) => {
    const { brotliDecompressSync, constants } = zlib();
    return brotliDecompressSync(bytes, { ...limits, finishFlush: constants.BROTLI_OPERATION_FLUSH });
  },
  zstd: unpackZstd,
};

/** What is there of a packed text is wanted, wherever it ends. */
function upToHere(limits: { maxOutputLength: number }): ZlibOptions {
  return { ...limits, finishFlush: zlib().constants.Z_SYNC_FLUSH };
}

/** Some servers call raw deflate `deflate`: it lacks the header, whose low four bits are 8. */
function inflate(bytes: Uint8Array, limits: { maxOutputLength: number }): Uint8Array {
  const hasHeader = ((bytes[0] ?? 0) & 0x0f) === 8;
  const { inflateSync, inflateRawSync } = zlib();
  return (hasHeader ? inflateSync : inflateRawSync)(bytes, upToHere(limits));
}

interface Zstd {
  readonly zstdDecompressSync?: (bytes: Uint8Array, options: ZlibOptions) => Uint8Array;
}

const ZSTD_E_FLUSH = 1;

/** Built in from Node 22.15 and 23.8 on; without it such a body cannot be read. */
function unpackZstd(bytes: Uint8Array, limits: { maxOutputLength: number }): Uint8Array {
  const { zstdDecompressSync } = zlib() as ReturnType<typeof zlib> & Zstd;
  return zstdDecompressSync?.(bytes, { ...limits, finishFlush: ZSTD_E_FLUSH }) ?? new Uint8Array();
}

/**
 * The text of the beginning of a body: its first `PEEK_BYTES`, unpacked by `contentEncoding` to at most
 * `LONGEST_TEXT`. The bytes may end anywhere. Empty where they cannot be read; never throws.
 */
export function peekText(bytes: Uint8Array, contentEncoding: string | undefined): string {
  const encodings = encodingsIn(contentEncoding);
  if (encodings.length > MOST_ENCODINGS) return '';
  let content = bytes.length <= PEEK_BYTES ? bytes : bytes.subarray(0, PEEK_BYTES);
  for (const encoding of encodings) {
    const unpack = Object.hasOwn(UNPACK, encoding) ? UNPACK[encoding] : undefined;
    if (unpack === undefined) return '';
    content = unpackWithin(unpack, content);
  }
  return decoder.decode(content);
}

const NONE: readonly string[] = [];

/** What a body was packed with, in lower case, the last first: the order in which to unpack it. */
export function encodingsIn(contentEncoding: string | undefined): readonly string[] {
  if (contentEncoding === undefined) return NONE;
  return contentEncoding
    .toLowerCase()
    .split(',')
    .map((encoding) => encoding.trim())
    .filter((encoding) => encoding !== '' && encoding !== 'identity')
    .reverse();
}

/** zlib gives nothing at all when the output is too long, so less input is tried until it fits. */
function unpackWithin(unpack: Unpack, packed: Uint8Array): Uint8Array {
  for (let length = packed.length; length > 0; length = Math.floor(length / 2)) {
    try {
      return unpack(packed.subarray(0, length), { maxOutputLength: LONGEST_TEXT });
    } catch (error) {
      if (!(error instanceof RangeError)) return new Uint8Array();
    }
  }
  return new Uint8Array();
}
