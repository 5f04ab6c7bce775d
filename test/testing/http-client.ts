import http from 'node:http';
import https from 'node:https';

export interface RawAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  readonly informational: readonly number[];
}

export interface RawRequest extends http.RequestOptions {
  readonly body?: string;
  readonly ca?: string;
  readonly agent?: http.Agent;
}

/** One request by `node:http`. Rejects with the error that the client sees; `received` then holds what came before. */
export function send(url: string, { body, ...options }: RawRequest = {}): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const informational: number[] = [];
    const client = url.startsWith('https:') ? https : http;
    const request = client.request(url, options, (response) => {
      let received = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (received += chunk));
      response.on('error', (error) =>
        reject(Object.assign(error, { received, status: response.statusCode })),
      );
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: received,
          informational,
        }),
      );
    });
    request.on('information', ({ statusCode }) => informational.push(statusCode));
    request.on('error', reject);
    request.end(body);
  });
}

export function bearer(key: string): { authorization: string } {
  return { authorization: `Bearer ${key}` };
}
