import type { Permit } from './permits.js';

export interface Holding {
  /** What the table of this process counts for it; absent where it does not count along. */
  readonly own?: Permit | undefined;
  /** How long after it was sent the provider may count it. Milliseconds. */
  readonly slackMs: number;
  readonly sendBefore: number;
  /** Called once: the permit was spent, and counted no later than this; or it was not. */
  readonly onEnd: (spent: 0 | 1, countedAt: number) => void;
}

/** A permit whose end is told once: as answered, with the slack on top where no answer came in time, or returned. */
export function heldPermit({ own, slackMs, sendBefore, onEnd }: Holding): Permit {
  let open = true;
  let arrival: NodeJS.Timeout | undefined;
  const end = (spent: 0 | 1, countedAt: number): void => {
    if (!open) return;
    open = false;
    clearTimeout(arrival);
    onEnd(spent, countedAt);
  };
  return {
    sendBefore,
    sent: (at) => {
      own?.sent(at);
      if (open) arrival ??= setTimeout(() => end(1, at + slackMs), slackMs).unref();
    },
    settle: (at) => {
      own?.settle(at);
      end(1, at);
    },
    giveBack: () => {
      if (open) own?.giveBack();
      end(0, 0);
    },
  };
}
