/** Asks the gateway that served the page. The token goes into a header, never into an address. */

/** An answer that is no success. `status` 0: there was no answer. */
export class GatewayError extends Error {
  constructor(status, message, fix) {
    super(message);
    this.status = status;
    this.fix = fix;
  }
}

/** An answer takes this long at most. Milliseconds. */
const TIMEOUT_MS = 10_000;
/** Events: how long until the first and the last further attempt. Milliseconds. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 20_000;
/** The gateway says something at least every 15 s; after this silence the stream is dead. Milliseconds. */
const SILENCE_MS = 45_000;

export class Gateway {
  #token;
  /** Ends everything that is under way, so that nothing of a past session arrives in the next one. */
  #ending = new AbortController();

  constructor(token) {
    this.#token = token;
  }

  close() {
    this.#ending.abort();
  }

  get closed() {
    return this.#ending.signal.aborted;
  }

  /** @param {string} path behind `/-/api/` */
  get(path) {
    return this.#ask('GET', path);
  }

  /** @param {string} path behind `/-/api/` */
  post(path) {
    return this.#ask('POST', path);
  }

  /** Whether the token may change things. */
  async mayChange() {
    const { roles } = await this.get('caller');
    return roles.includes('admin');
  }

  async #ask(method, path) {
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    let response;
    try {
      response = await fetch(`../api/${path}`, {
        method,
        headers: this.#headers(),
        signal,
        cache: 'no-store',
      });
      if (response.ok) return await response.json();
    } catch (error) {
      const message =
        error.name === 'TimeoutError'
          ? 'The gateway takes too long to answer.'
          : 'The gateway does not answer.';
      throw new GatewayError(0, message, 'See whether `keymux serve` still runs.');
    }
    throw await errorOf(response);
  }

  #headers() {
    return { authorization: `Bearer ${this.#token}` };
  }

  /**
   * Reads the event stream, and begins again where it breaks off, until the session ends. An EventSource cannot send a
   * header.
   * @param {{ onEvent: (event: { id: string, name: string, event: object }) => void, onOpen: () => void }} listener
   */
  async followEvents(listener) {
    let lastId = '';
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.closed) {
      const opened = { isOpen: false };
      try {
        lastId = await this.#readEvents(lastId, listener, opened, (id) => (lastId = id));
      } catch (error) {
        if (error.status === 401 || error.status === 403) return;
      }
      pauseMs = opened.isOpen ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      await sleep(pauseMs * (0.75 + Math.random() / 2), this.#ending.signal);
    }
  }

  async #readEvents(lastId, { onEvent, onOpen }, opened, seen) {
    const stalled = new AbortController();
    const signal = AbortSignal.any([this.#ending.signal, stalled.signal]);
    const headers = lastId === '' ? this.#headers() : { ...this.#headers(), 'last-event-id': lastId };
    let timer = setTimeout(() => stalled.abort(), SILENCE_MS);
    try {
      const response = await fetch('../events', { headers, signal, cache: 'no-store' });
      if (!response.ok || response.body === null) throw await errorOf(response);
      opened.isOpen = true;
      onOpen();
      const parse = eventParser((event) => {
        if (event.id !== '') seen((lastId = event.id));
        onEvent(event);
      });
      for await (const text of readText(response.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => stalled.abort(), SILENCE_MS);
        parse(text);
      }
      return lastId;
    } finally {
      clearTimeout(timer);
    }
  }
}

async function errorOf(response) {
  const { error } = await response.json().catch(() => ({}));
  return new GatewayError(
    response.status,
    error?.message ?? `The gateway answered with status ${response.status}.`,
    error?.fix ?? 'See what `keymux serve` wrote.',
  );
}

/** Not every browser lets a stream be iterated. */
async function* readText(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Takes the text of a stream as it comes, in whatever pieces, and tells each event once it is whole.
 * @param {(event: { id: string, name: string, event: object }) => void} onEvent
 */
function eventParser(onEvent) {
  let rest = '';
  return (text) => {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = { id: '', event: 'message', data: '' };
      for (const line of block.split('\n')) {
        const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name !== undefined) fields[name] = value;
      }
      if (fields.data !== '') onEvent({ id: fields.id, name: fields.event, event: JSON.parse(fields.data) });
    }
  };
}

/** Resolves after that time, or when it is no longer of use. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
