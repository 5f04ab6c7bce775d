import { describe, expect, it } from 'vitest';
import { bodyVerdict } from '#keymux/providers/classification.js';
import { firstEventsData, hasSpoken } from '#keymux/providers/first-events.js';
import { headOf } from './heads.js';

describe('firstEventsData', () => {
  it.each<[string, readonly string[]]>([
    ['data: {"a":1}\n\ndata: {"a":2}\n\n', ['{"a":1}', '{"a":2}']],
    ['event: error\r\ndata: {"a":1}\r\n\r\n', ['{"a":1}']],
    ['\uFEFFdata:{"a":1}\r\r', ['{"a":1}']],
    [': ping\n\nevent: ping\n\ndata: x\n\n', ['x']],
    [': OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: x\n\n', ['x']],
    ['event: ping\ndata: {"type": "ping"}\n\nevent: error\ndata: x\n\n', ['x']],
    ['data: { "type" : "ping" }\n\ndata: {"type":"ping","a":1}\n\n', ['{"type":"ping","a":1}']],
    ['event: heartbeat\ndata: 1\n\nevent: keep-alive\ndata: 2\n\ndata: 3\n\n', ['3']],
    ['data: {"a":\ndata: 1}\n\n', ['{"a":\n1}']],
    ['data: {"a":1', ['{"a":1']],
    ['data: 1\n\n'.repeat(50), Array.from({ length: 8 }, () => '1')],
    ['id: 1\n\n', []],
    ['', []],
  ])('takes from %j', (text, expected) => {
    expect(firstEventsData(text)).toEqual(expected);
  });
});

describe('hasSpoken', () => {
  it.each([
    ['data: 1\n\n', true],
    ['data: 1\r\n\r\n', true],
    ['data: 1\r\r', true],
    ['data: 1\n', false],
    ['data: 1', false],
    [': keep-alive\n\n', false],
    [': keep-alive\n\nevent: ping\ndata: {"type":"ping"}\n\n', false],
    [': keep-alive\n\ndata: 1\n\n', true],
    ['event: message_start\ndata: {"type":"message_start"}\n\n', true],
    ['retry: 3000\n\n', false],
    ['', false],
  ])('judges %j: %s', (text, expected) => {
    expect(hasSpoken(text)).toBe(expected);
  });
});

describe('an error among the first events', () => {
  const provider = {
    errors: [{ status: 200, sse: '$.error.type', match: '^overloaded', outcome: 'overloaded' }],
    bucketScope: 'key',
  } as const;
  const verdict = (text: string) =>
    bodyVerdict(provider, headOf(200, { 'content-type': 'text/event-stream' }), text, 0).kind;
  const error = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n';

  it.each([
    ['at once', error],
    ['after comments', `: keep-alive\n\n${error}`],
    ['after a start and a ping', `data: {"type":"message_start"}\n\nevent: ping\ndata: {}\n\n${error}`],
  ])('counts %s', (_, text) => {
    expect(verdict(text)).toBe('overloaded');
  });

  it('is not looked for in an answer that is well under way', () => {
    expect(verdict(`${'data: {"delta":"x"}\n\n'.repeat(8)}${error}`)).toBe('success');
  });
});
