import type { IncomingMessage } from 'node:http';
import { KeymuxError } from '../core/errors.js';
import { ApiRefusal, badRequest } from './api-refusal.js';

const LARGEST_BODY_BYTES = 65_536;

/** Reads the JSON body of a request, 64 KiB at most. Rejects with an `ApiRefusal`. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw refusal(415, 'The body must be JSON, and say so.', 'Send `content-type: application/json`.');
  }
  const text = await readText(request);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's own message repeats what was sent, which may be a key.
    throw badRequest('The body is no JSON.', 'Send one JSON object; /-/api/openapi.json describes it.');
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > LARGEST_BODY_BYTES) throw refusal(413, 'The body is too large.', 'Send 64 KiB at most.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function refusal(status: number, message: string, fix: string): ApiRefusal {
  return new ApiRefusal(status, new KeymuxError('KEYMUX_USAGE', message, { fix }), { connection: 'close' });
}
