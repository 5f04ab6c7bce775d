/** Whether an answer that was collected is whole. Pure, and nothing a server sends makes it throw. */
import type { StreamPolicy } from '../core/provider.js';
import { encodingsIn } from './body-peek.js';
import { zlib } from './lazy-zlib.js';
import type { ResponseHead } from './response-head.js';
import { isEventStream } from './rule-match.js';

/** An unpacked answer beyond this is taken as whole without a look at its end. */
const LONGEST_UNPACKED_BYTES = 268_435_456;
/** The end mark may be followed by a comment or a ping. */
const LAST_EVENTS = 3;

/** Why an answer cannot be whole, in words; undefined where nothing speaks against it. */
export function whyCut(head: ResponseHead, body: Uint8Array, { endMark }: StreamPolicy): string | undefined {
  const content = unpack(body, head.header('content-encoding'));
  if (content === 'cut') return 'the packed answer ends too soon';
  if (content === 'unknown') return undefined;
  if (isEventStream(head))
    return endsWell(content, endMark) ? undefined : 'the stream ended without its end mark';
  return isCutJson(head, content) ? 'the JSON ends too soon' : undefined;
}

function endsWell(content: Uint8Array, endMark: string | undefined): boolean {
  if (endMark === undefined) return true;
  const mark = new RegExp(endMark, 'i');
  const events = new TextDecoder()
    .decode(content)
    .replaceAll(/\r\n?/g, '\n')
    .split(/\n{2,}/)
    .filter((event) => event !== '');
  return events.slice(-LAST_EVENTS).some((event) => mark.test(event));
}

/** Without a length and chunks, the end of the connection is taken for the end of the answer, whatever ended it. */
function isCutJson(head: ResponseHead, content: Uint8Array): boolean {
  if (head.header('content-length') !== undefined || head.header('transfer-encoding') !== undefined)
    return false;
  if (!/^\s*application\/([^\s;]+\+)?json\s*(;|$)/i.test(head.header('content-type') ?? '')) return false;
  try {
    JSON.parse(new TextDecoder().decode(content));
    return false;
  } catch {
    return true;
  }
}

type Unpack = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

const UNPACK: Readonly<Record<string, Unpack>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: (bytes, options) =>
    ((bytes[0] as number) & 0x0f) === 8
      ? zlib().inflateSync(bytes, options)
      : zlib().inflateRawSync(bytes, options),
  br: (bytes, options) => zlib().brotliDecompressSync(bytes, options),
};

function gunzip(bytes: Uint8Array, options: { maxOutputLength: number }): Uint8Array {
  return zlib().gunzipSync(bytes, options);
}

/** As `peekText` unpacks, but to the very end, which must be there. */
function unpack(body: Uint8Array, contentEncoding: string | undefined): Uint8Array | 'cut' | 'unknown' {
  let content = body;
  // Some servers name an encoding for nothing at all.
  if (body.length === 0) return body;
  for (const encoding of encodingsIn(contentEncoding)) {
    const undo = Object.hasOwn(UNPACK, encoding) ? UNPACK[encoding] : undefined;
    if (undo === undefined) return 'unknown';
    try {
      content = undo(content, { maxOutputLength: LONGEST_UNPACKED_BYTES });
    } catch (error) {
      return error instanceof RangeError ? 'unknown' : 'cut';
    }
  }
  return content;
}
