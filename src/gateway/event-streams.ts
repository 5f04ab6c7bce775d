/** Server-sent events: what happens, to whoever looks, as it happens. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { KeymuxError } from '../core/errors.js';
import type { EventName } from '../manager/events.js';
import type { Observation, ObservedEvent } from '../manager/observation.js';
import { ApiRefusal } from './api-refusal.js';
import { streamHeaders } from './own-answer.js';

/** A stream that has so much waiting is cut: its reader comes back and says what it saw last. Bytes. */
const LARGEST_BACKLOG_BYTES = 1_048_576;
const MOST_STREAMS = 100;
const HEARTBEAT_MS = 15_000;
/** How long a browser waits before it comes back. Milliseconds. */
const RETRY_MS = 2_000;

/** Told only to whoever asks: there are as many as requests. */
const BUSY_EVENTS: ReadonlySet<EventName> = new Set(['attempt', 'request']);

export interface EventStreamOptions {
  /** Default: 15,000. Milliseconds. */
  readonly heartbeatMs?: number;
  /** Default: 1 MiB. */
  readonly maxBacklogBytes?: number;
}

interface Stream {
  readonly response: ServerResponse;
  readonly wantsBusy: boolean;
}

export class EventStreams {
  readonly #observation: Observation;
  readonly #heartbeatMs: number;
  readonly #maxBacklogBytes: number;
  readonly #streams = new Set<Stream>();
  /** Ids begin anew with each process; what was seen of another one says nothing about this one. */
  readonly #epoch = randomBytes(4).toString('hex');
  #unfollow: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(observation: Observation, options: EventStreamOptions = {}) {
    this.#observation = observation;
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.#maxBacklogBytes = options.maxBacklogBytes ?? LARGEST_BACKLOG_BYTES;
  }

  /**
   * Begins with what is kept of the recent past: all of it, or what followed `Last-Event-ID`. `wantsBusy`: attempts
   * and requests too, which are told as they happen and not kept.
   */
  open(request: IncomingMessage, response: ServerResponse, wantsBusy: boolean): void {
    if (this.#isClosed || this.#streams.size >= MOST_STREAMS) {
      throw new ApiRefusal(
        503,
        new KeymuxError('KEYMUX_USAGE', 'There are too many event streams, or the gateway is ending.', {
          fix: `Close some: ${MOST_STREAMS} at once are answered.`,
        }),
        { 'retry-after': '5' },
      );
    }
    response.writeHead(200, streamHeaders('text/event-stream; charset=utf-8'));
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const after = this.#seenBefore(request.headers['last-event-id']);
    const missed = this.#observation.events(after === undefined ? {} : { after });
    response.write(`retry: ${RETRY_MS}\n\n${missed.map((event) => this.#textOf(event)).join('')}`);
    const stream: Stream = { response, wantsBusy };
    this.#streams.add(stream);
    response.on('close', () => this.#remove(stream));
    response.on('error', () => this.#remove(stream));
    this.#unfollow ??= this.#observation.follow((event) => this.#tell(event));
    this.#timer ??= setInterval(() => this.#beat(), this.#heartbeatMs).unref();
  }

  close(): void {
    this.#isClosed = true;
    for (const stream of [...this.#streams]) {
      stream.response.end();
      this.#remove(stream);
    }
  }

  #tell(event: ObservedEvent): void {
    const isBusy = BUSY_EVENTS.has(event.name);
    let text: string | undefined;
    for (const stream of this.#streams) {
      if (isBusy && !stream.wantsBusy) continue;
      text ??= this.#textOf(event);
      this.#write(stream, text);
    }
  }

  #beat(): void {
    for (const stream of this.#streams) this.#write(stream, ': here\n\n');
  }

  #write(stream: Stream, text: string): void {
    const { response } = stream;
    if (response.writableLength + text.length <= this.#maxBacklogBytes) response.write(text);
    else response.destroy();
  }

  #remove(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    this.#unfollow?.();
    this.#unfollow = undefined;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #textOf({ id, name, event }: ObservedEvent): string {
    return `id: ${this.#epoch}-${id}\nevent: ${name}\ndata: ${JSON.stringify(event)}\n\n`;
  }

  #seenBefore(stated: string | string[] | undefined): number | undefined {
    const [epoch, id] = String(stated ?? '').split('-');
    return epoch === this.#epoch && /^\d{1,15}$/.test(id ?? '') ? Number(id) : undefined;
  }
}
