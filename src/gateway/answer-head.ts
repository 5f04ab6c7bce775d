/** The head of a provider's answer, as undici tells it. */
import type { IncomingHttpHeaders } from 'node:http';
import type { ResponseHead } from '../providers/response-head.js';

export class AnswerHead implements ResponseHead {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Empty over HTTP/2. */
  readonly statusText: string;
  readonly method: string;
  readonly path: string;

  constructor(
    status: number,
    headers: IncomingHttpHeaders,
    statusText: string,
    request: Pick<AnswerHead, 'method' | 'path'>,
  ) {
    this.status = status;
    this.headers = headers;
    this.statusText = statusText;
    this.method = request.method;
    this.path = request.path;
  }

  header(name: string): string | undefined {
    const value = this.headers[name];
    return typeof value === 'string' ? value : value?.join(', ');
  }
}
