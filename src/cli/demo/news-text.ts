import type { KeymuxNews } from './agent-programs.js';

/** What keymux did, in a line; undefined for what happens all the time. */
export function newsText({ name, event }: KeymuxNews): string | undefined {
  switch (name) {
    case 'failover': {
      const { from, to, reason, status } = event;
      const why = status === undefined ? reason : `${reason}, ${status}`;
      return from === to ? `${from} again (${why})` : `${from} -> ${to} (${why})`;
    }
    case 'cooldown':
    case 'rejected': {
      const restMs = event.until - event.at;
      return `${event.subject} rests ${restText(restMs)} (${event.reason}, ${event.source})`;
    }
    case 'recovered':
      return `${event.subject} answers again`;
    case 'exhausted':
      return `every key of ${event.service} is out`;
    case 'degraded':
      return `the store is lost: ${event.message}`;
    default:
      return undefined;
  }
}

const MINUTE_MS = 60_000;

function restText(ms: number): string {
  return ms < MINUTE_MS ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / MINUTE_MS)} min`;
}

/** ` 3.4 s`, as a line of the log begins. */
export function elapsedText(ms: number): string {
  return `${(ms / 1_000).toFixed(1).padStart(5)} s`;
}
