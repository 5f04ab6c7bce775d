/** Dispatchers of an application that tell of an answer in their own way, below the pool that chooses them. */
import { EventEmitter } from 'node:events';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AnswerHead } from '#keymux/interceptors/undici-handlers.js';
import { receiverOf } from '#keymux/interceptors/undici-receiver.js';
import { Exchange } from '#keymux/manager/attempt.js';
import { CAPTURED, bearer, managerFor } from '../managed.js';
import { Recorder, dispatch } from './recorder.js';
import { load } from './versions.js';

const ORIGIN = 'http://scripted.test';
const { Pool } = load(6);

/** What undici tells a handler. */
interface Handler {
  onConnect(abort: (error?: Error) => void, context: null): void;
  onHeaders(status: number, headers: (string | Buffer)[], resume: () => void, statusText: string): boolean;
  onData(chunk: Buffer): boolean;
  onComplete(trailers: Buffer[]): void;
  onError(error: Error): void;
}

interface Attempt {
  readonly handler: Handler;
  readonly options: { readonly headers: Record<string, string> };
  readonly abort: (error?: Error) => void;
}

const scripted = (act: (attempt: Attempt) => void) => (options: Attempt['options'], handler: Handler) => {
  const abort = vi.fn((error?: Error) => handler.onError(error ?? new Error('aborted')));
  handler.onConnect(abort, null);
  act({ handler, options, abort });
  return true;
};

/** A pool whose only client does with each attempt what comes next. */
function poolOf(...acts: ((attempt: Attempt) => void)[]) {
  const attempts: Attempt[] = [];
  const { pool } = poolOfClient(
    scripted((attempt) => {
      attempts.push(attempt);
      acts.shift()?.(attempt);
    }),
  );
  const send = (options: object = {}): Recorder => dispatch(pool as never, { headers: bearer(), ...options });
  return { attempts, pool, send };
}

function poolOfClient(dispatched: (options: Attempt['options'], handler: Handler) => boolean) {
  const over = (): Promise<void> => Promise.resolve();
  const client = Object.assign(new EventEmitter(), { dispatch: dispatched, close: over, destroy: over });
  const pool = new Pool(ORIGIN, { factory: () => client as never });
  onTestFinished(() => pool.destroy());
  return { pool };
}

const head = (handler: Handler, status: number, ...headers: (string | Buffer)[]): boolean =>
  handler.onHeaders(status, headers, () => {}, '');

const answer = ({ handler }: Attempt): void => {
  head(handler, 200);
  handler.onData(Buffer.from('answer'));
  handler.onComplete([]);
};

function manage(provider: object = {}, keys = [CAPTURED, 'key-good']) {
  return managerFor(ORIGIN, keys, { provider: { allowInsecure: true, ...provider } });
}

describe('an answer whose headers are text', () => {
  it('is understood, in whatever case they are', async () => {
    const manager = manage({}, [CAPTURED]);
    const { send } = poolOf(({ handler }) => {
      head(
        handler,
        429,
        'RETRY-AFTER',
        '60',
        'X-Same',
        'a',
        'x-same',
        'b',
        Buffer.from('X-Should-Retry'),
        'true',
      );
      handler.onComplete([]);
    });
    const recorder = send();
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '429', 'complete']);
    expect(recorder.headers.join()).toMatch(/^X-Same,a,x-same,b,/);
    expect(recorder.headers.join()).toContain('x-should-retry,false');
    expect(recorder.headers).not.toContain('RETRY-AFTER');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('is matched by a header that came several times', async () => {
    manage({
      errors: [{ status: 200, header: { name: 'x-state', match: '^fine, bad$' }, outcome: 'rate-limited' }],
    });
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 200, 'x-other', '1', Buffer.from('X-State'), 'fine', 'x-state', Buffer.from('bad'));
      handler.onComplete([]);
    }, answer);
    const recorder = send();
    await recorder.over;
    expect(recorder.text).toBe('answer');
    expect(attempts.map(({ options }) => options.headers['authorization'])).toEqual([
      `Bearer ${CAPTURED}`,
      'Bearer key-good',
    ]);
  });
});

describe('a dispatcher that goes on after it was told to stop', () => {
  it('is not listened to', async () => {
    const manager = manage({ stream: { commit: 'complete', maxBytes: 10 } });
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 200);
      handler.onData(Buffer.alloc(20));
      expect(handler.onData(Buffer.alloc(20))).toBe(true);
      expect(head(handler, 200)).toBe(true);
      handler.onComplete([]);
    });
    const recorder = send({ method: 'POST', body: '{}' });
    await recorder.over;
    expect(recorder.events).toEqual(['connect', 'error']);
    expect(recorder.error).toMatchObject({ code: 'KEYMUX_ANSWER_INCOMPLETE' });
    expect(attempts[0]?.abort).toHaveBeenCalledOnce();
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
});

describe('an answer that nobody gets', () => {
  it('is read to its end if that comes soon', async () => {
    manage();
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 429, 'retry-after', '60');
      queueMicrotask(() => {
        handler.onData(Buffer.alloc(5_000));
        handler.onData(Buffer.alloc(5_000));
        handler.onComplete([]);
      });
    }, answer);
    await send().over;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(attempts).toHaveLength(2);
    expect(attempts[0]?.abort).not.toHaveBeenCalled();
  });

  it.each([
    ['is long', ['retry-after', '60'], 70_000],
    ['says that it is long', ['retry-after', '60', 'content-length', '70000'], 5_000],
    ['does not end', ['retry-after', '60'], 5_000],
  ])('is broken off where it %s', async (_what, headers, bytes) => {
    const manager = manage();
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 429, ...headers);
      handler.onData(Buffer.alloc(bytes));
    }, answer);
    const recorder = send();
    await recorder.over;
    expect(recorder.text).toBe('answer');
    await vi.waitFor(() => expect(attempts[0]?.abort).toHaveBeenCalled());
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });
});

describe('an error without a code', () => {
  it('is the application’s, and no fault of the provider', async () => {
    const manager = manage();
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 200);
      handler.onData(Buffer.from('half'));
      handler.onError(new Error('of an interceptor'));
    });
    const recorder = send();
    await recorder.over;
    expect(recorder.text).toBe('half');
    expect(recorder.error?.message).toBe('of an interceptor');
    expect(attempts).toHaveLength(1);
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });
});

describe('a handler that throws at the last part of an answer that was held back', () => {
  it('gets it back as its error, once', async () => {
    manage({ errors: [{ status: 200, json: '$.error', outcome: 'rate-limited' }] });
    const { pool } = poolOf(answer);
    const recorder = new Recorder();
    recorder.onData = () => {
      throw new Error('unexpected');
    };
    dispatch(pool as never, { headers: bearer() }, recorder);
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '200', 'error']);
    expect(recorder.error?.message).toBe('unexpected');
  });
});

describe('a request as no library makes it', () => {
  it('is sent although it names no method, and with what is no text', async () => {
    manage();
    const { pool, attempts } = poolOf(answer);
    const headers = { ...bearer(), 'x-number': 1, 'x-list': ['a', 2] };
    const recorder = dispatch(pool as never, { method: undefined, headers });
    await recorder.over;
    expect(recorder.text).toBe('answer');
    expect(attempts[0]?.options.headers).toMatchObject({ 'x-number': 1, 'x-list': ['a', 2] });
  });

  it.each([
    ['bytes', [Buffer.from('Authorization'), Buffer.from(`Bearer ${CAPTURED}`), 'x-number', 1]],
    ['one of a list', { authorization: ['Bearer other', `Bearer ${CAPTURED}`] }],
  ])('gets another key although its own is %s', async (_form, headers) => {
    manage();
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 401);
      handler.onComplete([]);
    }, answer);
    await send({ headers }).over;
    const sent = attempts.map(({ options }) => Object.values(options.headers).flat().map(String));
    expect(sent[0]).toContain(`Bearer ${CAPTURED}`);
    expect(sent[1]).toContain('Bearer key-good');
    expect(sent[1]).toHaveLength(sent[0]?.length ?? 0);
  });

  it('is undici’s where it cannot be read', async () => {
    manage();
    const { pool, attempts } = poolOf(({ handler }) => handler.onError(new Error('as ever')));
    const options = {
      get headers(): never {
        throw new Error('unreadable');
      },
    };
    const recorder = new Recorder();
    pool.dispatch(
      Object.assign(Object.create(options) as object, { path: '/', method: 'GET' }),
      recorder as never,
    );
    await recorder.over;
    expect(recorder.error?.message).toBe('as ever');
    expect(attempts).toHaveLength(1);
  });

  it('is left to undici where its arguments are of no use', () => {
    manage();
    const { pool } = poolOf();
    const errors: unknown[] = [];
    const handler = { onError: (error: unknown) => errors.push(error) };
    expect(pool.dispatch(null as never, handler as never)).toBe(false);
    expect(() => pool.dispatch({ path: '/', method: 'GET' }, null as never)).toThrow('handler');
    expect(errors).toHaveLength(1);
  });
});

describe('a handler that throws at an answer that is handed on as it comes', () => {
  it('gets it back as its error, and nothing after it', async () => {
    const manager = manage();
    const { pool, attempts } = poolOf(answer);
    const recorder = new Recorder();
    recorder.onData = () => {
      throw new Error('unexpected');
    };
    dispatch(pool as never, { headers: bearer() }, recorder);
    await recorder.over;
    expect(attempts[0]?.abort).toHaveBeenCalledOnce();
    expect(recorder.events).toEqual(['connect', '200', 'error']);
    expect(recorder.error?.message).toBe('unexpected');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
});

describe('a verdict that takes its time', () => {
  function delayVerdicts() {
    const { afterHead } = Exchange.prototype;
    const spy = vi.spyOn(Exchange.prototype, 'afterHead');
    onTestFinished(() => spy.mockRestore());
    let decide = (): void => {};
    const decision = new Promise<void>((resolve) => (decide = resolve));
    spy.mockImplementation(async function (this: Exchange, ...head) {
      await decision;
      return afterHead.apply(this, head);
    });
    return decide;
  }

  const SOFT = { errors: [{ status: 200, json: '$.error', outcome: 'rate-limited' }] };

  it.each([
    ['at once', {}],
    ['by the beginning of its body', SOFT],
    ['when it is whole', { stream: { commit: 'complete' } }],
  ])('leads to an answer that is over by then, judged %s', async (_how, provider) => {
    const decide = delayVerdicts();
    manage(provider);
    const { send } = poolOf(answer);
    const recorder = send();
    expect(recorder.events).toEqual(['connect']);
    decide();
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '200', 'complete']);
    expect(recorder.text).toBe('answer');
  });

  it.each([
    ['held back', SOFT],
    ['collected', { stream: { commit: 'complete' } }],
  ])(
    'leads to another attempt where the answer would be %s and broke off meanwhile',
    async (_how, provider) => {
      const decide = delayVerdicts();
      manage(provider);
      const { send, attempts } = poolOf(({ handler }) => {
        head(handler, 200);
        handler.onError(Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
      }, answer);
      const recorder = send();
      decide();
      await recorder.over;
      expect(recorder.text).toBe('answer');
      expect(attempts).toHaveLength(2);
    },
  );

  it('gives its key back where the application is gone by then', async () => {
    const decide = delayVerdicts();
    const manager = manage();
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 401);
      handler.onData(Buffer.alloc(5_000));
    });
    const recorder = send();
    recorder.abort(new Error('enough'));
    await recorder.over;
    decide();
    await new Promise(setImmediate);
    expect(recorder.error?.message).toBe('enough');
    expect(attempts).toHaveLength(1);
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });

  it('leaves the pace to a reader that wants no more yet', async () => {
    const decide = delayVerdicts();
    manage();
    const resume = vi.fn();
    const { pool } = poolOf(({ handler }) => handler.onHeaders(200, [], resume, ''));
    const recorder = new Recorder();
    recorder.wantsMore = false;
    dispatch(pool as never, { headers: bearer() }, recorder);
    decide();
    await vi.waitFor(() => expect(recorder.events).toEqual(['connect', '200']));
    expect(resume).not.toHaveBeenCalled();
    recorder.resume();
    expect(resume).toHaveBeenCalledOnce();
    recorder.abort(new Error('enough'));
  });
});

describe.each([
  ['keymux', false],
  ['nobody, after an error of keymux', true],
])('a request that is looked after by %s', (_who, isBroken) => {
  function manageOrBreak() {
    const manager = manage();
    if (!isBroken) return;
    const spy = vi.spyOn(manager, 'exchange').mockImplementation(() => {
      throw new Error('a bug');
    });
    onTestFinished(() => spy.mockRestore());
  }

  it('sees informational answers, and aborts', async () => {
    manageOrBreak();
    const { send, attempts } = poolOf(({ handler }) => {
      head(handler, 103);
      head(handler, 200);
    });
    const recorder = send();
    recorder.abort(new Error('enough'));
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '103', '200', 'error']);
    expect(attempts[0]?.abort).toHaveBeenCalledOnce();
  });

  it('gets back what its handler throws', async () => {
    manageOrBreak();
    const { pool, attempts } = poolOf(answer);
    const recorder = new Recorder();
    recorder.onHeaders = () => {
      throw new Error('unexpected');
    };
    dispatch(pool as never, { headers: bearer() }, recorder);
    await recorder.over;
    expect(recorder.error?.message).toBe('unexpected');
    expect(attempts[0]?.abort).toHaveBeenCalledOnce();
  });

  it('is not sent any more where it was aborted while its client had no connection', async () => {
    manageOrBreak();
    let connect: ((abort: () => void) => void) | undefined;
    const dispatched = (_options: object, handler: Handler): boolean => {
      connect = (abort) => handler.onConnect(abort, null);
      return true;
    };
    const { pool } = poolOfClient(dispatched);
    async function* body() {
      await Promise.resolve();
      yield Buffer.from('text');
    }
    const headers = { ...bearer(), 'content-length': '4' };
    const recorder = dispatch(pool as never, { method: 'POST', headers, body: body() });
    await vi.waitFor(() => expect(connect).toBeDefined());
    recorder.abort(new Error('enough'));
    await recorder.over;
    const abort = vi.fn();
    connect?.(abort);
    expect(abort).toHaveBeenCalledOnce();
    expect(recorder.events).toEqual(['connect', 'error']);
  });
});

describe('a request that the application gave up before it was sent', () => {
  async function* slowBody(release: Promise<void>) {
    await release;
    yield Buffer.from('text');
  }

  it('is not sent when its body is collected', async () => {
    manage();
    const { send, attempts } = poolOf(answer);
    let release = (): void => {};
    const body = slowBody(new Promise((resolve) => (release = resolve)));
    const recorder = send({ method: 'POST', body, headers: { ...bearer(), 'content-length': '4' } });
    recorder.abort(new Error('enough'));
    release();
    await recorder.over;
    await new Promise(setImmediate);
    expect(attempts).toEqual([]);
  });

  it.each([
    ['a key', (exchange: Exchange) => exchange],
    ['an error of keymux', () => Promise.reject(new Error('a bug'))],
  ])('is not sent when it has waited for %s', async (_what, outcome) => {
    const manager = manage();
    const { first } = Exchange.prototype;
    let go = (): void => {};
    const waiting = new Promise<void>((resolve) => (go = resolve));
    const spy = vi.spyOn(Exchange.prototype, 'first').mockImplementation(async function (this: Exchange) {
      await waiting;
      return first.apply(await outcome(this));
    });
    onTestFinished(() => spy.mockRestore());
    const { send, attempts } = poolOf(answer);
    const recorder = send();
    recorder.abort(new Error('enough'));
    go();
    await recorder.over;
    await new Promise(setImmediate);
    expect(attempts).toEqual([]);
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });
});

describe('headers of the newer interface', () => {
  it('may be lists, and lack their raw form', () => {
    const seen: unknown[] = [];
    const receiver = receiverOf({
      onRequestStart: () => {},
      onResponseStart: (...told: unknown[]) => seen.push(...told),
    });
    const heads: AnswerHead[] = [];
    const attempt = { tellsProgress: true, head: (head: AnswerHead) => heads.push(head) === 1 };
    const handler = receiver.createHandler(attempt as never) as {
      onResponseStart(controller: object, status: number, headers: object): void;
    };
    const controller = { pause: vi.fn(), resume: vi.fn() };
    handler.onResponseStart(controller, 200, { 'x-list': ['a', 'b'], 'x-one': 'c' });
    expect(controller.pause).not.toHaveBeenCalled();
    expect(heads[0]?.header('x-list')).toBe('a, b');
    heads[0]?.setHeader('x-one', 'd');
    expect(heads[0]?.header('x-one')).toBe('d');
    handler.onResponseStart(controller, 200, {});
    expect(controller.pause).toHaveBeenCalledOnce();
  });
});
