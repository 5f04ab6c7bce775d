import { describe, expect, it } from 'vitest';
import { formatEvent, parseEvents } from '#keymux/testing/event-stream.js';

describe('formatEvent and parseEvents', () => {
  it('writes texts as they are and objects as JSON', () => {
    expect(formatEvent('[DONE]')).toBe('data: [DONE]\n\n');
    expect(formatEvent({ a: 1 }, 'delta')).toBe('event: delta\ndata: {"a":1}\n\n');
  });

  it('reads back what was written, line breaks included', () => {
    const text = formatEvent('one\ntwo', 'note') + formatEvent('three');
    expect(parseEvents(text)).toEqual([{ event: 'note', data: 'one\ntwo' }, { data: 'three' }]);
  });

  it('reads CRLF, skips comments and leaves out an event that is not complete', () => {
    expect(parseEvents(': hello\r\n\r\ndata:a\r\n\r\ndata: cut')).toEqual([{ data: 'a' }]);
  });
});
