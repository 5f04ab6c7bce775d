import * as z from 'zod';
import { DEFAULT_SCOPE, type OutcomeKind, type Scope } from '../core/outcome.js';
import { parseRedisAddress } from '../core/redis-address.js';
import { alertsSchema } from './alert-schema.js';
import { type FileContent, LIMIT_UNITS } from './file-content.js';
import {
  HTTP_TOKEN,
  LONGEST_MS,
  atLeastOne,
  fail,
  flag,
  isListOf,
  isNumber,
  isString,
  isWhole,
  jsonPath,
  leaf,
  matching,
  milliseconds,
  milliseconds0,
  name,
  options,
  regularExpression,
  seconds,
  share,
  strategy,
  text,
  unique,
  wholeNumber,
} from './schema-leaves.js';
import { isThisMachine } from './safe-address.js';

const limit = options({
  requests: leaf<number>(
    (value) => isWhole(value, 1) && value <= LONGEST_MS,
    'must be a whole number, 1 to 2147483647',
  ),
  per: z.enum(LIMIT_UNITS).optional(),
  perMs: leaf<number>(
    (value) => isWhole(value, 1),
    'must be a whole number of milliseconds above 0',
  ).optional(),
  resetsAt: matching(
    /^([01]\d|2[0-3]):[0-5]\d$/,
    'must be a time of day in quotes, "00:00" to "23:59"',
  ).optional(),
  timeZone: text(
    isTimeZone,
    'must be the name of a time zone, such as `UTC` or `America/New_York`',
  ).optional(),
}).check((context) => {
  const { per, perMs, resetsAt, timeZone } = context.value;
  if (per === undefined && perMs === undefined) fail(context, [], 'needs `per` or `perMs`');
  if (per !== undefined && perMs !== undefined) fail(context, ['perMs'], 'cannot stand beside `per`');
  if (resetsAt !== undefined && per !== 'day' && per !== 'month')
    fail(context, ['resetsAt'], 'needs `per: day` or `per: month`');
  if (timeZone !== undefined && resetsAt === undefined)
    fail(context, ['timeZone'], 'has no effect without `resetsAt`');
});

function isTimeZone(zone: string): boolean {
  try {
    // The first formatter of a process loads 8 MB; UTC can do without. Offsets such as `+05:00` are known to later
    // versions of Node only.
    if (zone === 'UTC') return true;
    return /^[A-Za-z]/.test(zone) && new Intl.DateTimeFormat('en-US', { timeZone: zone }).format(0) !== '';
  } catch {
    return false;
  }
}

const limits = z.array(limit);

const REFERENCE = /^(?:env:[A-Za-z_][A-Za-z0-9_]*|(?:file|exec|vault):\s*\S[^]*)$/;
export const REFERENCE_FAULT =
  'must say where the key is, never the key itself: `env:NAME`, `file:PATH`, `vault:NAME` or `exec:COMMAND` ' +
  '(move the key into an environment variable or a file with mode 600; if this file was shared, replace the key; ' +
  'another kind of reference must be registered by the program, as one of its `secretSources`)';

/** Whether a reference can only be read by a source that the program registered, such as `aws-sm:prod/openai`. */
export function isOfRegisteredKind(reference: string): boolean {
  return !REFERENCE.test(reference) && SOURCE_REFERENCE.test(reference);
}

/** What a reference to a registered source looks like. */
const SOURCE_REFERENCE = /^(?!(?:env|file|exec|vault|keychain):)[a-z][a-z0-9+.-]{0,31}:\S[^]*$/;

const SECRET_FAULT =
  'must say where the secret is, never the secret itself: `env:NAME`, `file:PATH`, `vault:NAME` or `exec:COMMAND`';

const key = options({
  id: name,
  value: text((value) => REFERENCE.test(value) || SOURCE_REFERENCE.test(value), REFERENCE_FAULT),
  priority: leaf<number>((value) => isWhole(value, 0), 'must be a whole number, 0 or above').optional(),
  weight: leaf<number>((value) => isNumber(value) && value > 0, 'must be a number above 0').optional(),
  bucket: name.optional(),
  limits: limits.optional(),
  expires: text(
    isMoment,
    'must be a date, such as "2027-01-31", or a time with its zone, such as "2027-01-31T12:00:00Z"',
  ).optional(),
});

/** A day, or a moment that does not depend on where the program runs. */
function isMoment(value: string): boolean {
  const isComplete =
    /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/.test(value);
  return isComplete && !Number.isNaN(Date.parse(value));
}

const keys = z.array(key).check((context) => {
  const ids = context.value.map(({ id }) => id);
  for (const [index, id] of ids.entries())
    if (ids.indexOf(id) !== index) fail(context, [index, 'id'], 'is there twice');
});

const headerName = matching(HTTP_TOKEN, 'must be the name of a header');

const auth = z.discriminatedUnion('in', [
  options({
    in: z.literal('header'),
    name: headerName,
    scheme: matching(HTTP_TOKEN, 'must be one word, such as `Bearer`').optional(),
  }),
  options({
    in: z.literal('query'),
    name: matching(/^[!-~]{1,100}$/, 'must be the name of a query parameter'),
  }),
  options({ in: z.literal('path') }),
  options({ in: z.literal('basic'), field: z.enum(['username', 'password']).optional() }),
]);

const status = leaf<number | number[]>(
  (value) => isStatus(value) || (isListOf(value, isStatus) && value.length > 0),
  'must be a status from 100 to 599, or a list of them',
);

function isStatus(value: unknown): value is number {
  return isWhole(value, 100) && value <= 599;
}

const OUTCOMES = Object.keys(DEFAULT_SCOPE) as [OutcomeKind, ...OutcomeKind[]];
const SCOPES: [Scope, ...Scope[]] = ['request', 'route', 'key', 'bucket', 'provider', 'egress'];

const errorRule = options({
  status: status.optional(),
  header: options({ name: headerName, match: regularExpression.optional() }).optional(),
  json: jsonPath.optional(),
  sse: jsonPath.optional(),
  match: regularExpression.optional(),
  outcome: z.enum(OUTCOMES),
  scope: z.enum(SCOPES).optional(),
  window: z.enum(LIMIT_UNITS).optional(),
}).check((context) => {
  const rule = context.value;
  const conditions = [rule.status, rule.header, rule.json, rule.sse, rule.match];
  if (conditions.every((condition) => condition === undefined)) {
    fail(context, [], 'would match every answer; give it `status`, `header`, `json`, `sse` or `match`');
  }
});

const ROUTE = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \/[!-~]*$/;

const retry = options({
  repeatable: z.array(matching(ROUTE, 'must be a method and a path, such as `POST /v1/search`')).optional(),
  deadlineMs: milliseconds.optional(),
  maxWaitMs: milliseconds0.optional(),
  maxAttempts: wholeNumber.optional(),
  maxBodyBytes: leaf<number>((value) => isWhole(value, 0), 'must be a whole number of bytes').optional(),
});

const stream = options({
  commit: z.enum(['first-event', 'complete']).optional(),
  firstByteMs: milliseconds0.optional(),
  idleMs: milliseconds0.optional(),
  maxBytes: wholeNumber.optional(),
  endMark: regularExpression.optional(),
});

const probeOptions = options({
  path: matching(/^\/[!-~]*$/, 'must be a path that begins with `/`').optional(),
  method: z.enum(['GET', 'HEAD', 'POST']).optional(),
  everyMs: milliseconds.optional(),
  dailyBudget: leaf<number>((value) => isWhole(value, 0), 'must be a whole number, 0 or above').optional(),
  costsQuota: z.enum(['no', 'yes', 'unknown']).optional(),
  authenticated: flag.optional(),
});

/** `false` is a budget of nothing. */
const probe = z.preprocess((value) => (value === false ? { dailyBudget: 0 } : value), probeOptions);

const protocol = options({
  name,
  pathPrefix: matching(/^(?:\/[!-~]*[!-.0-~])?$/, 'must begin with `/` and not end with one').optional(),
});

const baseUrl = text(isBaseUrl, 'must be an http or https address without user name, password, `?` or `#`');
const origin = text(
  (value) => isBaseUrl(value) && new URL(value).origin === value,
  'must be scheme, host and port alone, such as `https://api.example.com` (https also for wss)',
);

function isBaseUrl(value: string): boolean {
  if (!URL.canParse(value) || /[\s\\]/.test(value)) return false;
  const url = new URL(value);
  const isHttp = url.protocol === 'http:' || url.protocol === 'https:';
  return isHttp && url.username === '' && url.password === '' && !/[?#@]/.test(value);
}

/** Whether a key sent there could be read on the way: http to anything but this machine. */
function isInsecure(value: string): boolean {
  const { protocol: scheme, hostname } = new URL(value);
  return scheme === 'http:' && !isThisMachine(hostname);
}

const provider = options({
  baseUrl: baseUrl.optional(),
  origins: z.array(origin).check(unique('is there twice')).optional(),
  allowInsecure: flag.optional(),
  auth: auth.optional(),
  env: z
    .array(matching(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be the name of an environment variable'))
    .check(unique('is there twice'))
    .optional(),
  mode: z.enum(['direct', 'virtual']).optional(),
  signed: flag.optional(),
  limits: limits.optional(),
  keys: keys.optional(),
  discover: flag.optional(),
  errors: z.array(errorRule).optional(),
  retry: retry.optional(),
  stream: stream.optional(),
  probe: probe.optional(),
  protocol: protocol.optional(),
  strategy: strategy.optional(),
}).check((context) => {
  const addresses = context.value;
  const insecure = insecureAddresses(addresses);
  if (addresses.allowInsecure !== true) {
    const fault =
      'would send the key over plain http to another machine; use https, or set `allowInsecure: true`';
    for (const path of insecure) fail(context, path, fault);
  } else if (insecure.length === 0) {
    fail(context, ['allowInsecure'], 'has no effect: every address is https or this machine');
  }
});

function insecureAddresses(addresses: {
  baseUrl?: string | undefined;
  origins?: string[] | undefined;
}): PropertyKey[][] {
  const paths: PropertyKey[][] = [];
  if (addresses.baseUrl !== undefined && isInsecure(addresses.baseUrl)) paths.push(['baseUrl']);
  for (const [index, address] of (addresses.origins ?? []).entries()) {
    if (isInsecure(address)) paths.push(['origins', index]);
  }
  return paths;
}

const modelName = matching(/^\S{1,200}$/, 'must be the name of a model');

const rewrite = options({ models: z.array(z.record(name, modelName)).optional() });

const service = options({
  providers: z
    .array(leaf<string>(isString, 'must be the name of a provider'))
    .check(atLeastOne, unique('is there twice')),
  strategy: strategy.optional(),
  failoverThreshold: share.optional(),
  rewrite: rewrite.optional(),
}).check((context) => {
  const { providers, rewrite: stated } = context.value;
  for (const [index, group] of (stated?.models ?? []).entries())
    for (const id of Object.keys(group))
      if (!providers.includes(id))
        fail(context, ['rewrite', 'models', index, id], 'is no provider of this service');
});

const path = text((value) => value.trim() !== '', 'must be a path');
const pemPath = text(
  (value) => value.trim() !== '' && !value.includes('-----BEGIN'),
  'must be the path of a PEM file, not what stands in it',
);

const manners = {
  whenLost: z.enum(['share', 'stop']).optional(),
  members: wholeNumber.optional(),
  encrypt: flag.optional(),
};

const tls = options({
  ca: pemPath.optional(),
  cert: pemPath.optional(),
  key: pemPath.optional(),
  serverName: text((value) => /^[A-Za-z0-9.-]{1,253}$/.test(value), 'must be the name of a host').optional(),
}).check((context) => {
  const { cert, key: ofCert } = context.value;
  if ((cert === undefined) !== (ofCert === undefined)) {
    fail(
      context,
      [cert === undefined ? 'key' : 'cert'],
      'needs the other one: `cert` and `key` belong together',
    );
  }
});

const redisUrl = z.custom<string>(
  (value) => typeof value === 'string' && redisUrlFault(value) === undefined,
  {
    error: ({ input }) => (typeof input === 'string' ? redisUrlFault(input) : 'must be an address') ?? '',
    abort: true,
  },
);

function redisUrlFault(value: string): string | undefined {
  const address = REFERENCE.test(value) ? undefined : parseRedisAddress(value);
  return address !== undefined && 'fault' in address ? address.fault : undefined;
}

const redis = options({
  type: z.literal('redis'),
  url: redisUrl,
  prefix: matching(
    /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/,
    'must be letters, digits, `_`, `.`, `:` and `-`, 64 at most',
  ).optional(),
  tls: tls.optional(),
  secret: matching(REFERENCE, SECRET_FAULT).optional(),
  ...manners,
}).check((context) => {
  const { url, tls: stated } = context.value;
  const isPlain = !REFERENCE.test(url) && !url.startsWith('rediss');
  if (stated !== undefined && isPlain) fail(context, ['tls'], 'has no effect without `rediss://`');
});

const store = z.discriminatedUnion('type', [
  options({ type: z.literal('memory') }),
  options({ type: z.literal('sqlite'), path: path.optional(), ...manners }),
  redis,
]);

const vaultOptions = options({
  path: path.optional(),
  key: matching(
    /^(?:env:[A-Za-z_][A-Za-z0-9_]*|(?:file|exec|keychain):\s*\S[^]*)$/,
    'must say where the key of the vault is, never the key itself: `env:NAME`, `file:PATH`, `exec:COMMAND` or `keychain:NAME`',
  ).optional(),
});

/** `vault:` alone is the one beside the file, with its usual key. */
const vault = z.preprocess((value) => value ?? {}, vaultOptions);

const audit = options({ path: path.optional(), failClosed: flag.optional() });

const toggle = z.union([flag, options({ enabled: flag })], {
  error: 'must be true, false, or a mapping with `enabled` alone',
});

const managedService = options({
  primary: name,
  backups: z.array(name).optional(),
  failover_threshold: share.optional(),
  health_check_interval: seconds.optional(),
});

const apiManagement = options({
  global_failover: toggle.optional(),
  health_monitoring: toggle.optional(),
  state_persistence: toggle.optional(),
  rate_limiting: toggle.optional(),
  providers: z.record(name, managedService).optional(),
});

/** A provider of the catalogue may stand alone in YAML (`finnhub:`), which reads as null. */
const statedProvider = z.preprocess((value) => value ?? {}, provider);

export const fileSchema: z.ZodType<FileContent> = options({
  services: z.record(name, service).optional(),
  providers: z.record(name, statedProvider).optional(),
  store: store.optional(),
  alerts: alertsSchema.optional(),
  vault: vault.optional(),
  audit: audit.optional(),
  healthCheckIntervalMs: milliseconds.optional(),
  api_management: apiManagement.optional(),
});
