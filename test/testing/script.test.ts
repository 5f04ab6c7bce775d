import { describe, expect, it } from 'vitest';
import { outageAction, ScriptPlayer, times, until } from '#keymux/testing/script-key.js';
import {
  echo,
  executes,
  malformedChunk,
  ok,
  redirect,
  refuse,
  reply,
  reset,
  silence,
  softError,
  stream,
  streamError,
} from '#keymux/testing/script.js';

describe('ScriptPlayer', () => {
  const rejected = refuse(401);
  const broken = reset();

  it('does what comes first, then what stands', () => {
    const player = new ScriptPlayer({ first: [rejected, times(2, broken)], then: ok() }, 'a');
    const played = Array.from({ length: 5 }, () => player.next(0));
    expect(played).toEqual([rejected, broken, broken, ok(), ok()]);
  });

  it('holds a step until its time is over, and skips it if it is over already', () => {
    const player = new ScriptPlayer({ first: [until(100, broken), until(50, rejected)], then: ok() }, 'a');
    expect([player.next(0), player.next(99), player.next(100)]).toEqual([broken, broken, ok()]);
  });

  it('treats a function as one step', () => {
    const chosen = (): ReturnType<typeof ok> => ok();
    const player = new ScriptPlayer({ first: [chosen], then: rejected }, 'a');
    expect([player.next(0), player.next(0)]).toEqual([chosen, rejected]);
  });

  it('leaves it to the simulator where the script says nothing', () => {
    expect(new ScriptPlayer({}, 'a').next(0)).toBeUndefined();
    expect(new ScriptPlayer({ always: broken }, 'a').next(0)).toBe(broken);
  });

  it('refuses a script that contradicts itself', () => {
    expect(() => new ScriptPlayer({ always: ok(), then: ok() }, 'a')).toThrow(
      expect.objectContaining({ code: 'KEYMUX_USAGE', message: expect.stringContaining('key a') as string }),
    );
  });
});

describe('executes', () => {
  it.each([
    [ok(), true],
    [reset(), true],
    [silence(), true],
    [stream(), true],
    [malformedChunk(), true],
    [echo(), true],
    [refuse(500), true],
    [refuse('overloaded'), true],
    [reply(201), true],
    [reply(502), true],
    [refuse(429), false],
    [refuse('rejected'), false],
    [softError(), false],
    [softError('overloaded'), false],
    [reply(302), false],
    [reply(404), false],
    [redirect('/'), false],
    [streamError(), false],
    [ok({ early: true }), false],
    [ok({ executes: false }), false],
    [refuse(429, { executes: true }), true],
  ])('assumes the worst of what is ambiguous: %o', (action, expected) => {
    expect(executes(action)).toBe(expected);
  });
});

describe('refuse', () => {
  it.each([
    [429, 'rate-limited'],
    [401, 'rejected'],
    [402, 'quota-exhausted'],
    [403, 'restricted'],
    [404, 'bad-request'],
    [529, 'overloaded'],
  ])('reads %i as %s', (status, kind) => {
    expect(refuse(status)).toMatchObject({ status, kind });
  });

  it('lets the kind be said where the status does not tell', () => {
    expect(refuse(429, { kind: 'quota-exhausted' })).toMatchObject({ status: 429, kind: 'quota-exhausted' });
  });
});

describe('outageAction', () => {
  it('executes nothing, whatever the outage looks like', () => {
    for (const how of [503, 'reset', 'silence'] as const) expect(executes(outageAction(how))).toBe(false);
  });

  it('takes any action, which may say that it executes all the same', () => {
    expect(executes(outageAction(stream({ ends: 'stalled' })))).toBe(false);
    expect(executes(outageAction(refuse(500, { executes: true })))).toBe(true);
  });
});
