/** What an attempt means. Its answer is held back as far as the engine has to see it for a verdict. */
import type { IncomingMessage } from 'node:http';
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, Step } from '../manager/attempt.js';
import type { Lease } from '../manager/lease.js';
import type { ResponseHead } from '../providers/response-head.js';
import { AnswerBody } from './http-answer-body.js';
import { AnswerHead, readAhead } from './http-answer.js';
import type { HttpAttempt } from './http-attempt.js';
import { orDeliver, reportOwnError, whenSettled } from './pass-through.js';

/** A step that asks for no more of the answer. */
export type Verdict = Exclude<Step, { readonly do: 'peek' } | { readonly do: 'collect' }>;

export interface Judge {
  readonly method: string;
  readonly path: string;
  readonly exchange: Exchange;
  /** `answer`: what the verdict is about; undefined where there is none. */
  onVerdict(attempt: HttpAttempt, answer: IncomingMessage | undefined, verdict: Verdict): void;
  /** The connection broke while the answer was held back. */
  onCut(): void;
  /** The answer is longer than may be collected. */
  onTooLong(lease: Lease): void;
}

/** An answer, and how to ask for a verdict on it. */
interface Case {
  readonly judge: Judge;
  readonly attempt: HttpAttempt;
  readonly lease: Lease;
  readonly answer: IncomingMessage;
  readonly head: ResponseHead;
}

export function judgeAnswer(judge: Judge, attempt: HttpAttempt, lease: Lease, answer: IncomingMessage): void {
  const head = new AnswerHead(answer, judge.method, attempt.destination?.path ?? judge.path);
  decide({ judge, attempt, lease, answer, head }, () => judge.exchange.afterHead(lease, head));
}

export function judgeError(
  judge: Judge,
  attempt: HttpAttempt,
  lease: Lease,
  evidence: string,
  progress: 'unsent' | 'sent',
): void {
  const step = orDeliver(() => judge.exchange.afterError(lease, evidence, progress));
  const goOn = (settled: Step): void => judge.onVerdict(attempt, undefined, asVerdict(settled));
  if (step instanceof Promise) awaitStep(attempt, step, goOn);
  else goOn(step);
}

/** The body of an answer, to be held back or watched. */
export function bodyOf(judge: Judge, attempt: HttpAttempt, answer: IncomingMessage): AnswerBody {
  if (attempt.answerBody?.answer === answer) return attempt.answerBody;
  attempt.answerBody = new AnswerBody(answer, attempt.limit, () => judge.onCut());
  return attempt.answerBody;
}

function decide(subject: Case, ask: () => MaybePromise<Step>): void {
  const { attempt, answer } = subject;
  const step = orDeliver(ask);
  if (!(step instanceof Promise)) return follow(subject, answer, step);
  // While another key is waited for, the connection may be needed by the request that holds it.
  attempt.spendConnection();
  const kept = readAhead(answer);
  awaitStep(attempt, step, (settled) => follow(subject, kept, settled));
}

function follow(subject: Case, answer: IncomingMessage, step: Step): void {
  if (step.do === 'peek' || step.do === 'collect') hold(subject, step.do);
  else subject.judge.onVerdict(subject.attempt, answer, step);
}

function awaitStep(attempt: HttpAttempt, step: Promise<Step>, onStep: (step: Step) => void): void {
  attempt.isInDoubt = true;
  attempt.limit?.stop();
  const goOn = (settled: Step): void => {
    attempt.isInDoubt = false;
    onStep(settled);
  };
  whenSettled(step, goOn, (error) => {
    reportOwnError(error);
    goOn({ do: 'deliver' });
  });
}

function hold(subject: Case, how: 'peek' | 'collect'): void {
  const { judge, attempt, lease, answer, head } = subject;
  const { exchange } = judge;
  const body = bodyOf(judge, attempt, answer);
  if (how === 'peek') {
    body.peek(head, (text) => decide(subject, () => exchange.afterBody(lease, head, text)));
    return;
  }
  body.collect(
    lease.member.provider.stream.maxBytes,
    (bytes) => decide(subject, () => exchange.afterWhole(lease, head, bytes)),
    () => judge.onTooLong(lease),
  );
}

function asVerdict(step: Step): Verdict {
  return step.do === 'peek' || step.do === 'collect' ? { do: 'deliver' } : step;
}
