/** What went over the wire, so that it can go once more. */
import type { Request } from './http-internals.js';

export class Wire {
  /** As the application made it. */
  readonly head: string;
  readonly shouldKeepAlive: boolean;
  readonly last: boolean;
  /** The idle time-out of the connection. Milliseconds; 0: none. */
  idleMs = 0;
  readonly #isChunked: boolean;
  readonly #maxBytes: number;
  /** What follows the head, chunk sizes and all; undefined once it is too long to be kept. */
  #pieces: Uint8Array[] | undefined = [];
  #bytes = 0;

  constructor(request: Request, maxBytes: number) {
    // A key was found in it.
    this.head = request._header as string;
    this.shouldKeepAlive = request.shouldKeepAlive;
    this.last = request._last;
    this.#isChunked = request.chunkedEncoding;
    this.#maxBytes = maxBytes;
  }

  /** Whether all that was recorded is still there. */
  get isKept(): boolean {
    return this.#pieces !== undefined;
  }

  /** Returns all that was recorded at the moment when it is too long to be kept. */
  record(data: string | Uint8Array, encoding: BufferEncoding | null | undefined): Uint8Array | undefined {
    if (this.#pieces === undefined || data.length === 0) return undefined;
    const piece = typeof data === 'string' ? Buffer.from(data, encoding ?? 'utf8') : Buffer.from(data);
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes <= this.#maxBytes) return undefined;
    const { content } = this;
    this.#pieces = undefined;
    return content;
  }

  get content(): Uint8Array {
    const [first, ...others] = this.#pieces ?? [];
    if (first === undefined) return Buffer.alloc(0);
    return others.length === 0 ? first : Buffer.concat([first, ...others]);
  }

  /** The body alone, without chunk sizes; undefined where there is none. */
  get body(): Uint8Array | undefined {
    const content = this.#isChunked ? joinChunks(this.content) : this.content;
    return content.length === 0 ? undefined : content;
  }
}

/** https://www.rfc-editor.org/rfc/rfc9112#section-7.1; what node:http wrote, so that nothing needs to be checked. */
function joinChunks(content: Uint8Array): Uint8Array {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (size === 0) break;
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
  return Buffer.concat(chunks);
}
