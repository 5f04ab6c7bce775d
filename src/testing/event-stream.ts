/** Server-sent events as text, as in https://html.spec.whatwg.org/multipage/server-sent-events.html. */

/** One event; objects are sent as JSON. Line breaks in `data` become several `data:` lines. */
export function formatEvent(data: unknown, event?: string): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  const lines = text.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `${event === undefined ? '' : `event: ${event}\n`}${lines.join('')}\n`;
}

/** One server-sent event. */
export interface ParsedEvent {
  readonly event?: string;
  readonly data: string;
}

/** The complete events in a text; a last one without its blank line is left out, as a browser would. */
export function parseEvents(text: string): ParsedEvent[] {
  const blocks = text.replaceAll(/\r\n?/g, '\n').split('\n\n').slice(0, -1);
  return blocks.flatMap((block) => {
    const fields = block.split('\n').map((line) => /^(event|data): ?(.*)$/.exec(line));
    const data = fields.flatMap((field) => (field?.[1] === 'data' ? [field[2] ?? ''] : []));
    if (data.length === 0) return [];
    const event = fields.findLast((field) => field?.[1] === 'event')?.[2];
    return [{ data: data.join('\n'), ...(event === undefined ? {} : { event }) }];
  });
}
