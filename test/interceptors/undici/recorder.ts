/** A handler of the older interface, which writes down what it is told. */
import type { Undici } from './versions.js';

export class Recorder {
  readonly events: string[] = [];
  text = '';
  error: (Error & { code?: string }) | undefined;
  abort: (reason?: Error) => void = () => {};
  resume: () => void = () => {};
  trailers: string[] = [];
  headers: string[] = [];
  /** What `onHeaders` and `onData` return. */
  wantsMore = true;
  readonly over: Promise<void>;
  #end: () => void = () => {};

  constructor() {
    this.over = new Promise((resolve) => (this.#end = resolve));
  }

  onConnect(abort: (reason?: Error) => void): void {
    this.abort = abort;
    this.events.push('connect');
  }

  onHeaders(status: number, headers: Buffer[], resume: () => void): boolean {
    this.resume = resume;
    this.events.push(String(status));
    this.headers = headers.map(String);
    return this.wantsMore;
  }

  onData(chunk: Buffer): boolean {
    this.text += chunk.toString();
    return this.wantsMore;
  }

  onUpgrade(): void {
    throw new Error('Nobody asked for an upgrade.');
  }

  onBodySent(): void {
    this.events.push('sent');
  }

  onComplete(trailers: Buffer[] | null): void {
    this.trailers = (trailers ?? []).map(String);
    this.events.push('complete');
    this.#end();
  }

  onError(error: Error): void {
    this.error = error;
    this.events.push('error');
    this.#end();
  }
}

export function dispatch(
  dispatcher: InstanceType<Undici['Client']>,
  options: object,
  recorder = new Recorder(),
): Recorder {
  dispatcher.dispatch({ path: '/', method: 'GET', ...options }, recorder as never);
  return recorder;
}
