import type { Health, HealthEvent } from '../core/health.js';
import type { Events } from './events.js';

/** Tells the world that a key, bucket or provider went to rest or came back. */
export function announceTransition(
  events: Events,
  subject: string,
  before: Health,
  after: Health,
  event: HealthEvent,
  now: number,
): void {
  if (after.status === 'resting') {
    if (before.status === 'resting' && before.version === after.version && before.until === after.until)
      return;
    const evidence = event.type === 'outcome' ? event.outcome.evidence : undefined;
    events.emit(after.reason === 'rejected' ? 'rejected' : 'cooldown', {
      subject,
      reason: after.reason,
      until: after.until,
      source: after.source,
      ...(evidence === undefined ? {} : { evidence }),
      at: now,
    });
  } else if (before.status === 'resting') {
    events.emit('recovered', { subject, at: now });
  }
}
