import { describe, expect, it } from 'vitest';
import { DEFAULT_HEALTH_CHECK_INTERVAL_MS } from '#keymux/core/provider.js';
import { errorOf, resolveContent, resolveIn, resolveYaml } from './sample.js';

const ACME = 'baseUrl: https://acme.example';

function probeOf(yaml: string, id = 'acme') {
  return resolveYaml(yaml).providers.get(id)?.probe;
}

function faultOf(yaml: string): string {
  return errorOf(() => resolveYaml(yaml)).message;
}

describe('the probe of a provider', () => {
  it('is that of the catalogue, with a default for what it does not know', () => {
    expect(probeOf('providers: { finnhub: }', 'finnhub')).toEqual({
      method: 'GET',
      path: '/status',
      everyMs: 90_000,
      dailyBudget: 5,
      costsQuota: 'unknown',
      authenticated: true,
    });
  });

  it.each([
    ['no', 100],
    ['unknown', 12],
    ['yes', 6],
  ])('that the file defines has a budget by its cost: %s, %i a day', (costsQuota, dailyBudget) => {
    const yaml = `providers: { acme: { ${ACME}, probe: { path: /ping, costsQuota: "${costsQuota}" } } }`;
    expect(probeOf(yaml)).toEqual({
      method: 'GET',
      path: '/ping',
      everyMs: 60_000,
      dailyBudget,
      costsQuota,
      authenticated: true,
    });
  });

  it('is changed by the file option by option', () => {
    const yaml = 'providers: { finnhub: { probe: { method: HEAD, everyMs: 1000, dailyBudget: 7 } } }';
    expect(probeOf(yaml, 'finnhub')).toMatchObject({
      method: 'HEAD',
      path: '/status',
      everyMs: 1_000,
      dailyBudget: 7,
    });
  });

  it('is switched off', () => {
    expect(probeOf('providers: { finnhub: { probe: false } }', 'finnhub')).toBeUndefined();
    expect(probeOf('providers: { finnhub: { probe: { dailyBudget: 0 } } }', 'finnhub')).toBeUndefined();
    const yaml = 'api_management: { health_monitoring: { enabled: false } }\nproviders: { finnhub: }';
    expect(probeOf(yaml, 'finnhub')).toBeUndefined();
  });

  it('is none for a provider that signs its requests, unless it needs no key', () => {
    expect(probeOf('providers: { finnhub: { signed: true } }', 'finnhub')).toBeUndefined();
    const yaml = `providers: { acme: { ${ACME}, signed: true, probe: { path: /ping, authenticated: false } } }`;
    expect(probeOf(yaml)).toMatchObject({ path: '/ping', authenticated: false });
  });

  it.each([
    [`acme: { ${ACME}, probe: { everyMs: 5 } }`, 'acme.probe needs `path`'],
    [`acme: { ${ACME}, probe: false }`, 'acme.probe has no effect: this provider is not probed anyway'],
    [`acme: { ${ACME}, signed: true, probe: { path: /p } }`, 'acme.probe needs `authenticated: false`'],
    ['finnhub: { probe: }', 'finnhub.probe must be a mapping of options'],
    ['finnhub: { probe: true }', 'finnhub.probe must be a mapping of options'],
    ['finnhub: { probe: { path: CANARY } }', 'finnhub.probe.path must be a path that begins with `/`'],
    [
      'finnhub: { probe: { everyMs: CANARY } }',
      'finnhub.probe.everyMs must be a whole number of milliseconds',
    ],
    [
      'finnhub: { probe: { dailyBudget: -1 } }',
      'finnhub.probe.dailyBudget must be a whole number, 0 or above',
    ],
    ['finnhub: { probe: { costsQuota: maybe } }', 'finnhub.probe.costsQuota must be one of no, yes, unknown'],
    ['finnhub: { probe: { evryMs: 5 } }', 'did you mean `everyMs`?'],
  ])('is refused: %s', (provider, fault) => {
    const message = faultOf(`providers: { ${provider} }`);
    expect(message).toContain(fault);
    expect(message).not.toContain('CANARY');
  });

  it('is refused where health monitoring is off', () => {
    const yaml =
      'api_management: { health_monitoring: false }\nproviders: { finnhub: { probe: { everyMs: 5 } } }';
    expect(faultOf(yaml)).toContain('line 2, column 25: providers.finnhub.probe has no effect beside');
  });
});

describe('the interval of health checks', () => {
  const section = `
api_management:
  providers:
    s: { primary: finnhub, health_check_interval: 40 }
    t: { primary: finnhub, health_check_interval: 2.5 }`;

  it('has a default', () => {
    expect(resolveIn({}).healthCheckIntervalMs).toBe(DEFAULT_HEALTH_CHECK_INTERVAL_MS);
  });

  it('comes from api_management, the file or the environment, which wins', () => {
    expect(resolveYaml(section).healthCheckIntervalMs).toBe(2_500);
    const stated = `healthCheckIntervalMs: 7000\n${section}`;
    expect(resolveYaml(stated).healthCheckIntervalMs).toBe(7_000);
    expect(resolveYaml(stated, { API_HEALTH_CHECK_INTERVAL: '1.5' }).healthCheckIntervalMs).toBe(1_500);
    expect(resolveContent({ healthCheckIntervalMs: 9 }).healthCheckIntervalMs).toBe(9);
  });

  it('is refused where it is none', () => {
    expect(faultOf('healthCheckIntervalMs: 0')).toContain('healthCheckIntervalMs must be a whole number');
  });
});
