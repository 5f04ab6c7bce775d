import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { AlertDefinition } from '#keymux/config/alert-definition.js';
import type { Configuration } from '#keymux/config/configuration.js';
import { errorOf, resolveContent, resolveIn, resolveYaml } from './sample.js';

const CANARY = 'https://hooks.example/T0/CANARY-8c2f4';

function onlyAlert({ alerts = [] }: Configuration): AlertDefinition {
  expect(alerts).toHaveLength(1);
  return alerts[0]!;
}

function linesOf(yaml: string): string[] {
  const { message } = errorOf(() => resolveYaml(yaml));
  return message
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
}

/** The faults of one rule that is valid otherwise, without line and column. */
function faultsOf(rule: string): string[] {
  return linesOf(`alerts:\n  - { ${rule} }\n`).map((line) => line.replace(/^line \d+, column \d+: /, ''));
}

describe('alerts', () => {
  it('are absent where there are none', () => {
    expect(resolveYaml('alerts: []').alerts).toBeUndefined();
    expect(resolveYaml('store: { type: memory }').alerts).toBeUndefined();
  });

  it.each([
    ['health', { threshold: 0.5, perMs: 0, forMs: 0 }],
    ['failover', { threshold: 10, perMs: 60_000, forMs: 0 }],
    ['quota', { threshold: 0.8, perMs: 0, forMs: 0 }],
    ['providers-failing', { threshold: 1, perMs: 0, forMs: 0 }],
    ['exhausted', { threshold: 0, perMs: 60_000, forMs: 0 }],
    ['rejected', { threshold: 0, perMs: 0, forMs: 0 }],
    ['degraded', { threshold: 0, perMs: 0, forMs: 10_000 }],
    ['keys-left', { threshold: 1, perMs: 0, forMs: 0 }],
    ['unusual-usage', { threshold: 3, perMs: 300_000, forMs: 0 }],
    ['anomaly', { threshold: 0, perMs: 3_600_000, forMs: 0 }],
  ])('of the kind %s need nothing but a destination', (when, defaults) => {
    const { rule, log, ...rest } = onlyAlert(resolveContent({ alerts: [{ when, log: true }] }));
    expect(rule).toEqual({ name: when, when, everyMs: 3_600_000, ...defaults });
    expect(log).toBe(true);
    expect(Object.keys(rest)).toEqual(['folder']);
  });

  it('take what is stated', () => {
    const configuration = resolveYaml(`
alerts:
  - when: failover
    name: too-many
    above: 3
    perMs: 5000
    services: [finnhub]
    forMs: 100
    everyMs: 200
    command: [notify, --urgent]
`);
    expect(onlyAlert(configuration)).toEqual({
      rule: {
        name: 'too-many',
        when: 'failover',
        threshold: 3,
        perMs: 5_000,
        services: ['finnhub'],
        forMs: 100,
        everyMs: 200,
      },
      command: ['notify', '--urgent'],
      folder: configuration.folder,
      log: false,
    });
  });

  it('of anomalies may be of some kinds only', () => {
    const { rule } = onlyAlert(
      resolveYaml(
        'alerts: [{ when: anomaly, kinds: [hours, outside-use], keys: [finnhub/main], log: true }]',
      ),
    );
    expect(rule).toMatchObject({ when: 'anomaly', kinds: ['hours', 'outside-use'], keys: ['finnhub/main'] });
  });

  it('of one kind have names of their own', () => {
    const { alerts = [] } = resolveContent({
      alerts: [
        { when: 'rejected', log: true },
        { when: 'rejected', name: 'rejected-2', providers: ['finnhub'], log: true },
        { when: 'rejected', keys: ['finnhub/main'], log: true },
      ],
    });
    expect(alerts.map(({ rule }) => rule.name)).toEqual(['rejected', 'rejected-2', 'rejected-3']);
    expect(alerts[1]!.rule.providers).toEqual(['finnhub']);
    expect(alerts[2]!.rule.keys).toEqual(['finnhub/main']);
  });

  it('may name services of the file and of the environment, and every provider as its own service', () => {
    const yaml = `
services: { quotes: { providers: [finnhub] } }
alerts: [{ when: exhausted, services: [quotes, other, gemini], log: true }]`;
    const configuration = resolveYaml(yaml, { API_PROVIDER_PRIORITIES: '{"other":["finnhub"]}' });
    expect(onlyAlert(configuration).rule.services).toEqual(['quotes', 'other', 'gemini']);
  });

  it.each([
    ['when: helth, log: true', 'alerts[0].when must be one of health, failover, quota'],
    ['log: true', 'alerts[0].when is missing'],
    ['when: health', 'alerts[0] tells nobody; give it `webhook`, `command` or `log: true`'],
    ['when: health, log: false', 'alerts[0] tells nobody'],
    ['when: health, abov: 1, log: true', 'alerts[0].abov is not an option'],
    [
      'when: health, above: 1, log: true',
      'alerts[0].above is not an option; known here: when, below, providers',
    ],
    ['when: degraded, services: [a], log: true', 'alerts[0].services is not an option'],
    ['when: health, below: 2, log: true', 'alerts[0].below must be a number from 0 to 1'],
    ['when: failover, above: 1.5, log: true', 'alerts[0].above must be a whole number, 0 or above'],
    [
      'when: failover, perMs: 10, log: true',
      'alerts[0].perMs must be a whole number of milliseconds, 1000 to 86400000',
    ],
    ['when: keys-left, below: 0, log: true', 'alerts[0].below must be a whole number above 0'],
    ['when: unusual-usage, above: 0.5, log: true', 'alerts[0].above must be a number, 1 or above'],
    [
      'when: unusual-usage, services: [finnhub], keys: [finnhub/main], log: true',
      'alerts[0].keys cannot stand beside `services`; make two rules',
    ],
    ['when: rejected, keys: [main], log: true', 'alerts[0].keys[0] must be a provider and the id of a key'],
    [
      'when: rejected, providers: [], log: true',
      'alerts[0].providers must be a list with at least one entry',
    ],
    ['when: health, format: slack, log: true', 'alerts[0].format has no effect without `webhook`'],
    ['when: health, command: []', 'alerts[0].command must be a list with at least one entry'],
    ['when: health, command: [""]', 'alerts[0].command[0] must be a word of the command'],
    ['when: health, webhook: "http://hooks.example/x"', 'alerts[0].webhook must be an https address'],
    [
      'when: health, webhook: "https://user:word@hooks.example/x"',
      'alerts[0].webhook must be an https address',
    ],
    ['when: health, webhook: "exec:cat x"', 'alerts[0].webhook must be an https address'],
    ['when: health, webhook: "https://a b"', 'alerts[0].webhook must be an https address'],
    ['when: health, webhook: nonsense', 'alerts[0].webhook must be an https address'],
  ])('are refused: %s', (rule, fault) => {
    expect(faultsOf(rule)).toEqual([expect.stringContaining(fault)]);
  });

  it('are told with their line, and with the nearest name', () => {
    expect(
      linesOf(`
services: { quotes: { providers: [finnhub] } }
alerts:
  - { when: exhausted, services: [qotes], log: true }
  - { when: health, providers: [finhub], log: true }
  - { when: rejected, keys: [gemni/main], log: true }
  - { when: health, providers: [sk-1234567890abcdef], log: true }
`),
    ).toEqual([
      'line 4, column 35: alerts[0].services[0] names `qotes`, which is not there; did you mean `quotes`?',
      'line 5, column 33: alerts[1].providers[0] names `finhub`, which is not there; did you mean `finnhub`?',
      'line 6, column 30: alerts[2].keys[0] names `gemni`, which is not there; did you mean `gemini`?',
      'line 7, column 33: alerts[3].providers[0] names something that is not there',
    ]);
  });

  it('cannot have one name twice', () => {
    expect(
      linesOf(`
alerts:
  - { when: health, name: one, log: true }
  - { when: quota, name: one, log: true }
`),
    ).toEqual(['line 4, column 20: alerts[1].name is there twice']);
  });
});

describe('the webhook of an alert', () => {
  const rule = (webhook: string): string =>
    `alerts: [{ when: health, webhook: '${webhook}', format: slack }]`;

  it('comes from a variable', () => {
    const { webhook } = onlyAlert(resolveYaml(rule('env:HOOK'), { HOOK: ` ${CANARY}\n` }));
    expect(webhook).toMatchObject({ format: 'slack', option: 'alerts[0].webhook' });
    expect(webhook!.url.reveal()).toBe(CANARY);
  });

  it('comes from a file, beside the configuration', () => {
    const files = { 'keymux.config.yaml': rule('file:hook'), hook: `${CANARY}\n` };
    const configuration = resolveIn(files);
    expect(onlyAlert(configuration).webhook!.url.reveal()).toBe(CANARY);
    expect(configuration.notes).toEqual([]);
  });

  it('may stand in the file, with a remark, and in a program without one', () => {
    const configuration = resolveYaml(rule(CANARY));
    expect(onlyAlert(configuration).webhook!.url.reveal()).toBe(CANARY);
    expect(configuration.notes).toEqual([
      expect.stringContaining('alerts[0].webhook stands in the configuration file'),
    ]);
    const inProgram = resolveContent({ alerts: [{ when: 'health', webhook: 'http://127.0.0.1:9/x' }] });
    expect(inProgram.notes).toEqual([]);
    expect(onlyAlert(inProgram).webhook!.format).toBe('json');
  });

  it.each([
    ['is not set', {}, 'alerts[0].webhook (env:HOOK) cannot be read: the variable is not set.'],
    ['is no address', { HOOK: 'CANARY-8c2f4' }, 'alerts[0].webhook (env:HOOK) tells nobody'],
    ['is http to elsewhere', { HOOK: 'http://hooks.example/CANARY-8c2f4' }, 'tells nobody'],
  ])('is left out with a remark where its variable %s', (_, env, note) => {
    const configuration = resolveYaml(rule('env:HOOK'), env);
    expect(onlyAlert(configuration).webhook).toBeUndefined();
    expect(configuration.notes).toEqual([expect.stringContaining(note)]);
    expect(configuration.notes.join()).not.toContain('CANARY');
  });

  it('is in nothing that is printed', () => {
    const configuration = resolveYaml(rule(CANARY), {});
    expect(inspect(configuration, { depth: 10, showHidden: true })).not.toContain('CANARY');
    expect(JSON.stringify(configuration.alerts)).not.toContain('CANARY');
    const error = errorOf(() => resolveYaml(rule(CANARY.replace('https', 'ftp'))));
    expect(inspect(error, { depth: 10 }) + error.fix).not.toContain('CANARY');
  });
});
