/** Where requests go to, told to whoever watches; while nobody does, telling it costs a look at `hasSubscribers`. */
import { channel } from 'node:diagnostics_channel';
import { KeymuxError } from '../core/errors.js';

/** A request of `node:http2`, which has no such channel in all supported versions of Node. */
export interface Http2Request {
  /** Of a provider. */
  readonly origin: string;
  /** Without the query. At some providers a key stands in it. */
  readonly path: string;
}

/** A key was to go where it does not belong. */
export interface OriginRefusal {
  /** Whose key it was. */
  readonly provider: string;
  /** Where it was to go. Undefined where that could not be seen. */
  readonly origin: string | undefined;
  /** What was wrong where the origin alone does not tell: a part of a sentence, without anything secret. */
  readonly fault?: string;
}

/** Each `Http2Request` is published here. */
export const HTTP2_REQUEST = 'keymux:http2-request';
/** Each `OriginRefusal` is published here. */
export const ORIGIN_REFUSED = 'keymux:origin-refused';

const requests = channel(HTTP2_REQUEST);
const refusals = channel(ORIGIN_REFUSED);

export function tellHttp2Request(origin: string, path: string): void {
  if (!requests.hasSubscribers) return;
  const [withoutQuery = ''] = path.split('?', 1);
  requests.publish({ origin, path: withoutQuery } satisfies Http2Request);
}

/** The error of a request that is not sent, which is told. */
export function originRefused(refusal: OriginRefusal, message: string, fix: string): KeymuxError {
  if (refusals.hasSubscribers) refusals.publish(refusal);
  return new KeymuxError('KEYMUX_ORIGIN_REFUSED', message, { fix });
}
