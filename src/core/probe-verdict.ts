/** What the answer to a probe says of the key, the bucket and the provider that it was sent with. Pure. */
import type { Health, HealthEvent } from './health.js';
import type { Outcome } from './outcome.js';
import { SUCCESS } from './outcome.js';
import { canProve, isOfAllowance } from './probe-plan.js';
import type { ProbePolicy } from './provider.js';

export interface Probed {
  readonly key: Health;
  readonly bucket: Health;
  readonly provider: Health;
}

export interface ProbeFinding {
  readonly who: keyof Probed;
  readonly event: HealthEvent;
}

/** `probed`: as they stood when the probe went out. */
export function probeFindings(outcome: Outcome, probed: Probed, policy: ProbePolicy): ProbeFinding[] {
  const { kind, scope } = outcome;
  if (kind === 'aborted') return [];
  if (kind === 'success') {
    const proven = (['key', 'bucket'] as const).filter(
      (who) => policy.authenticated && isProven(probed[who], policy),
    );
    return [alive(probed), ...proven.map((who) => succeeded(who, probed))];
  }
  if (kind === 'bad-request') return [alive(probed)];
  if (scope === 'provider' || scope === 'egress') return [failed('provider', outcome, probed)];
  if (kind === 'overloaded' || kind === 'network' || !policy.authenticated) return [];
  // A refused key may as well be the provider's own trouble: a login that is broken for everybody.
  return isOfAllowance(kind) ? [alive(probed), ...spent(outcome, probed)] : refused(outcome, probed);
}

function isProven(health: Health, policy: ProbePolicy): boolean {
  return health.status === 'resting' && canProve(health.reason, policy);
}

/** Whoever rests since it was refused stays where it is: a limit that is spent says nothing of that. */
function spent(outcome: Outcome, probed: Probed): ProbeFinding[] {
  const who = outcome.scope === 'bucket' ? 'bucket' : 'key';
  return isRefused(probed[who]) ? [] : [failed(who, outcome, probed)];
}

/** A refusal on one route blames nobody who is well; whoever rests since it was refused goes on resting. */
function refused(outcome: Outcome, probed: Probed): ProbeFinding[] {
  return (['key', 'bucket'] as const)
    .filter((who) => outcome.scope === who || isRefused(probed[who]))
    .map((who) => failed(who, outcome, probed));
}

function isRefused(health: Health): boolean {
  return health.status === 'resting' && !isOfAllowance(health.reason);
}

function alive(probed: Probed): ProbeFinding {
  return succeeded('provider', probed);
}

function succeeded(who: keyof Probed, probed: Probed): ProbeFinding {
  return { who, event: { type: 'outcome', outcome: SUCCESS, seenVersion: probed[who].version } };
}

function failed(who: keyof Probed, outcome: Outcome, probed: Probed): ProbeFinding {
  const { status, version } = probed[who];
  return {
    who,
    event: { type: status === 'resting' ? 'relapse' : 'outcome', outcome, seenVersion: version },
  };
}
