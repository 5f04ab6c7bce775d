/** The beginning of a stream of server-sent events. https://html.spec.whatwg.org/multipage/server-sent-events.html */

/** Events beyond this are not looked at: an error that late comes after an answer has begun. */
const MOST_EVENTS = 8;

/** Events that only keep the connection alive, as Anthropic's `ping`. */
const KEEPS_ALIVE = /^(?:ping|heart-?beat|keep-?alive)$/i;
const KEEPS_ALIVE_DATA =
  /^\s{0,8}\{\s{0,8}"type"\s{0,8}:\s{0,8}"(?:ping|heart-?beat|keep-?alive)"\s{0,8}\}\s{0,8}$/i;

interface FirstEvent {
  readonly data: string;
  /** Its blank line has been read. */
  readonly isComplete: boolean;
}

/** The data of the first events that have any, without comments and pings; the last one as far as it was read. */
export function firstEventsData(text: string): string[] {
  return firstEvents(text, MOST_EVENTS).map(({ data }) => data);
}

/** Whether the first event that says anything is complete. Comments and pings say nothing. */
export function hasSpoken(text: string): boolean {
  return firstEvents(text, 1)[0]?.isComplete === true;
}

function firstEvents(text: string, most: number): FirstEvent[] {
  const events: FirstEvent[] = [];
  let data: string[] = [];
  let name = '';
  const take = (isComplete: boolean): void => {
    const joined = data.join('\n');
    const says = data.length > 0 && !KEEPS_ALIVE.test(name) && !KEEPS_ALIVE_DATA.test(joined);
    if (says) events.push({ data: joined, isComplete });
    data = [];
    name = '';
  };
  for (const line of linesOf(text)) {
    if (line === '') take(true);
    else if (line.startsWith('data:')) data.push(valueOf(line));
    else if (line.startsWith('event:')) name = valueOf(line);
    if (events.length === most) return events;
  }
  take(false);
  return events;
}

/** The last one may be incomplete; it is empty where the text ends with the end of a line. */
function linesOf(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function valueOf(line: string): string {
  const value = line.slice(line.indexOf(':') + 1);
  return value.startsWith(' ') ? value.slice(1) : value;
}
