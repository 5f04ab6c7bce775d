/** The shape of `alerts:`. Each kind of rule has only the options that mean something to it. */
import * as z from 'zod';
import { ANOMALY_KINDS } from '../core/anomaly.js';
import type { FileAlert } from './file-content.js';
import {
  atLeastOne,
  fail,
  flag,
  isNumber,
  isString,
  isWhole,
  leaf,
  matching,
  milliseconds,
  milliseconds0,
  name,
  options,
  share,
  text,
  unique,
} from './schema-leaves.js';
import { isWebhookReference, isWebhookUrl } from './safe-address.js';

const WEBHOOK_FAULT =
  'must be an https address, an http address of this machine, or say where it is: `env:NAME` or `file:PATH`';

const webhook = text((value) => isWebhookReference(value) || isWebhookUrl(value), WEBHOOK_FAULT);

const word = text((value) => value !== '' && !value.includes('\0'), 'must be a word of the command');

const common = {
  name: name.optional(),
  forMs: milliseconds0.optional(),
  everyMs: milliseconds.optional(),
  webhook: webhook.optional(),
  format: z.enum(['json', 'slack']).optional(),
  command: z.array(word).check(atLeastOne).optional(),
  log: flag.optional(),
};

function namesOf(what: string) {
  return z
    .array(leaf<string>(isString, `must be the name of a ${what}`))
    .check(atLeastOne, unique('is there twice'))
    .optional();
}

const services = namesOf('service');
const providers = namesOf('provider');
const keys = z
  .array(
    matching(
      /^[a-z0-9][a-z0-9_.-]*\/[a-z0-9][a-z0-9_.-]*$/,
      'must be a provider and the id of a key, such as `acme/main`',
    ),
  )
  .check(atLeastOne, unique('is there twice'))
  .optional();

const count = leaf<number>((value) => isWhole(value, 0), 'must be a whole number, 0 or above').optional();
const perMs = leaf<number>(
  (value) => isWhole(value, 1_000) && value <= LONGEST_COUNT_MS,
  'must be a whole number of milliseconds, 1000 to 86400000',
).optional();
const LONGEST_COUNT_MS = 86_400_000;

const rule = z.discriminatedUnion('when', [
  options({ when: z.literal('health'), below: share.optional(), providers, ...common }),
  options({ when: z.literal('failover'), above: count, perMs, services, ...common }),
  options({ when: z.literal('quota'), above: share.optional(), providers, keys, ...common }),
  options({ when: z.literal('providers-failing'), above: count, providers, ...common }),
  options({ when: z.literal('exhausted'), above: count, perMs, services, ...common }),
  options({ when: z.literal('rejected'), providers, keys, ...common }),
  options({ when: z.literal('degraded'), ...common }),
  options({
    when: z.literal('keys-left'),
    below: leaf<number>((value) => isWhole(value, 1), 'must be a whole number above 0').optional(),
    services,
    ...common,
  }),
  options({
    when: z.literal('unusual-usage'),
    above: leaf<number>((value) => isNumber(value) && value >= 1, 'must be a number, 1 or above').optional(),
    perMs,
    services,
    keys,
    ...common,
  }).check((context) => {
    if (context.value.services !== undefined && context.value.keys !== undefined)
      fail(context, ['keys'], 'cannot stand beside `services`; make two rules');
  }),
  options({
    when: z.literal('anomaly'),
    kinds: z.array(z.enum(ANOMALY_KINDS)).check(atLeastOne, unique('is there twice')).optional(),
    perMs,
    services,
    providers,
    keys,
    ...common,
  }),
]);

const told = rule.check((context) => {
  const { webhook: stated, format, command, log } = context.value;
  if (stated === undefined && command === undefined && log !== true)
    fail(context, [], 'tells nobody; give it `webhook`, `command` or `log: true`');
  if (format !== undefined && stated === undefined)
    fail(context, ['format'], 'has no effect without `webhook`');
});

export const alertsSchema: z.ZodType<readonly FileAlert[]> = z.array(told).check((context) => {
  const names = context.value.map((each) => each.name);
  for (const [index, each] of names.entries())
    if (each !== undefined && names.indexOf(each) !== index) fail(context, [index, 'name'], 'is there twice');
});
