import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { AnswerHead, setHeaders } from '#keymux/interceptors/http-answer.js';

function answerWith(...rawHeaders: string[]): IncomingMessage {
  const answer = new IncomingMessage(new Socket());
  answer.statusCode = 200;
  (answer as unknown as { _addHeaderLines(raw: string[], count: number): void })._addHeaderLines(
    rawHeaders,
    rawHeaders.length,
  );
  return answer;
}

describe('the head of an answer', () => {
  it('gives a header by its name in lower case, and all values of one that is repeated', () => {
    const answer = answerWith('Retry-After', '7', 'Set-Cookie', 'a=1', 'Vary', 'x', 'set-cookie', 'b=2');
    const head = new AnswerHead(answer, 'GET', '/');
    expect(head.header('retry-after')).toBe('7');
    expect(head.header('vary')).toBe('x');
    expect(head.header('set-cookie')).toBe('a=1, b=2');
  });

  it('gives none where only the length of a name is the same, also modulo 32', () => {
    const head = new AnswerHead(answerWith('Date', 'today', 'x'.repeat(36), 'long'), 'GET', '/');
    expect(head.header('vary')).toBeUndefined();
    expect(head.header('y'.repeat(36))).toBeUndefined();
    expect(head.header('x'.repeat(36))).toBe('long');
    expect(head.header('z'.repeat(68))).toBeUndefined();
  });
});

describe('headers that are set', () => {
  it('stand in place of the first one of that name, and of all others', () => {
    const answer = answerWith('Location', '/a', 'Date', 'today', 'LOCATION', '/b');
    setHeaders(answer, { location: '/c' });
    expect(answer.rawHeaders).toEqual(['Location', '/c', 'Date', 'today']);
    expect(answer.headers['location']).toBe('/c');
  });

  it('stand at the end where there was none', () => {
    const answer = answerWith('Date', 'today');
    setHeaders(answer, { 'retry-after': '7' });
    expect(answer.rawHeaders).toEqual(['Date', 'today', 'retry-after', '7']);
  });
});
