import * as z from 'zod';
import { repeatsWithinRepetition } from '../core/expression-cost.js';
import { type StrategyName, strategies } from '../core/select.js';

/** Tells an unknown option apart from other faults; what follows is the list of the known ones. */
export const KNOWN_OPTIONS = 'known options: ';

/** An object that refuses options it does not know. */
export function options<Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
): z.ZodObject<Shape, z.core.$strict> {
  const known = KNOWN_OPTIONS + Object.keys(shape).join(' ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined),
  });
}

/**
 * Custom leaves, so that each fault reads as a sentence after the option's path. A fault ends the validation of the
 * object around it, so that its checks see valid values only.
 */
export function leaf<T>(isValid: (value: unknown) => boolean, fault: string): z.ZodType<T> {
  return z.custom<T>(isValid, { error: fault, abort: true });
}

export function text(isValid: (value: string) => boolean, fault: string): z.ZodType<string> {
  return leaf((value) => typeof value === 'string' && isValid(value), fault);
}

export function matching(pattern: RegExp, fault: string): z.ZodType<string> {
  return text((value) => pattern.test(value), fault);
}

export const HTTP_TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
export const LONGEST_MS = 2 ** 31 - 1;

export const name = matching(
  /^[a-z0-9][a-z0-9_.-]{0,63}$/,
  'must be a name of lower-case letters, digits, `_`, `.` and `-`, 64 at most',
);
export const flag = z.boolean();
export const wholeNumber = leaf<number>((value) => isWhole(value, 1), 'must be a whole number above 0');
export const milliseconds = leaf<number>(
  (value) => isWhole(value, 1) && value <= LONGEST_MS,
  'must be a whole number of milliseconds, 1 to 2147483647',
);
export const milliseconds0 = leaf<number>(
  (value) => isWhole(value, 0) && value <= LONGEST_MS,
  'must be a whole number of milliseconds, 0 to 2147483647',
);
export const seconds = leaf<number>(
  (value) => isNumber(value) && value >= 0.001 && value <= LONGEST_MS / 1_000,
  'must be a number of seconds, 0.001 to 2147483',
);
export const share = leaf<number>(
  (value) => isNumber(value) && value >= 0 && value <= 1,
  'must be a number from 0 to 1',
);
export const regularExpression = text(
  (value) => isRegularExpression(value) && !repeatsWithinRepetition(value),
  'must be a JavaScript regular expression without a repetition inside a repetition, such as `(a+)+`, which may take for ever',
);
export const jsonPath = matching(
  /^\$(?:\S(?:.*\S)?)?$/,
  'must be a path into JSON that begins with `$`, such as `$.error.code`',
);
export const strategy = z.enum(Object.keys(strategies) as [StrategyName, ...StrategyName[]]);

export function isString(value: unknown): value is string {
  return typeof value === 'string';
}

export function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

export function isWhole(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && Number(value) >= least;
}

export function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem);
}

function isRegularExpression(pattern: string): boolean {
  try {
    return new RegExp(pattern, 'i') instanceof RegExp;
  } catch {
    return false;
  }
}

type Check<T> = (context: z.core.ParsePayload<T>) => void;

export function fail<T>(context: z.core.ParsePayload<T>, path: PropertyKey[], message: string): void {
  context.issues.push({ code: 'custom', path, message, input: context.value });
}

export function unique(message: string): Check<readonly string[]> {
  return (context) => {
    for (const [index, item] of context.value.entries()) {
      if (context.value.indexOf(item) !== index) fail(context, [index], message);
    }
  };
}

export function atLeastOne(context: z.core.ParsePayload<readonly unknown[]>): void {
  if (context.value.length === 0) fail(context, [], 'must be a list with at least one entry');
}
