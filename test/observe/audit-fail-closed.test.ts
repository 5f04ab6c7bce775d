import { rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { installEnv } from '#keymux/interceptors/env.js';
import { startAudit } from '#keymux/observe/audit.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bearer, managed } from '../interceptors/managed.js';
import { acmeManager } from '../manager/acme.js';
import { auditPlace } from './audit-folder.js';

const REFUSED = expect.objectContaining({ code: 'KEYMUX_AUDIT_UNAVAILABLE' }) as unknown;

/** A trail whose folder something stands in the way of. */
function blocked() {
  const place = auditPlace();
  writeFileSync(place.folder, 'in the way');
  return { ...place, mend: () => rmSync(place.folder) };
}

/** Status and body of an answer to a request with `node:http`. */
function ask(url: string, headers: Readonly<Record<string, string>>): Promise<readonly [number, string]> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve([response.statusCode ?? 0, text]));
    });
    request.on('error', reject);
  });
}

describe('a trail that must not fail', () => {
  it('keeps the library from giving out keys, until it can be written again', async () => {
    const place = blocked();
    const { manager, audit } = place.start({}, { failClosed: true });
    expect(() => manager.getApiKey('acme')).toThrow(REFUSED);
    expect(() => manager.resolve('acme')).toThrow(REFUSED);
    await expect(manager.acquire('acme')).rejects.toEqual(REFUSED);
    await expect(manager.run('acme', () => Promise.resolve())).rejects.toEqual(REFUSED);
    const answer = await manager.fetch('acme', '/x');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { code: 'KEYMUX_AUDIT_UNAVAILABLE' } });
    place.mend();
    audit.flush();
    expect(manager.getApiKey('acme')).toBe('key-one');
    (await manager.acquire('acme')).cancel();
  });

  it('keeps names out of process.env', () => {
    const place = blocked();
    const manager = acmeManager();
    onTestFinished(installEnv(manager));
    expect(process.env['ACME_API_KEY']).toBe('key-one');
    const audit = startAudit(manager, { ...place.options, failClosed: true });
    onTestFinished(() => audit.stop());
    expect(process.env['ACME_API_KEY']).toBeUndefined();
    expect('ACME_API_KEY' in process.env).toBe(false);
    expect(Object.keys(process.env)).not.toContain('ACME_API_KEY');
    expect(JSON.stringify(process.env)).not.toContain('key-one');
    place.mend();
    audit.flush();
    expect(process.env['ACME_API_KEY']).toBe('key-one');
  });

  it('lets no intercepted request out, also with a key that was taken before', async () => {
    const place = blocked();
    const { manager, origin, simulator } = await managed({ keys: { 'key-one': {}, 'key-two': {} } });
    const audit = startAudit(manager, { ...place.options, failClosed: true });
    onTestFinished(() => audit.stop());
    const code = 'KEYMUX_AUDIT_UNAVAILABLE';
    const fetched = await fetch(`${origin}/a`, { headers: bearer('key-one') });
    expect([fetched.status, await fetched.text()]).toEqual([503, expect.stringContaining(code)]);
    const posted = await fetch(`${origin}/a`, { method: 'POST', body: 'x', headers: bearer('key-one') });
    expect([posted.status, await posted.text()]).toEqual([503, expect.stringContaining(code)]);
    expect(await ask(`${origin}/b`, bearer('key-one'))).toEqual([503, expect.stringContaining(code)]);
    expect(simulator.requests).toEqual([]);
    place.mend();
    audit.flush();
    const later = await fetch(`${origin}/a`, { headers: bearer('key-one') });
    await later.text();
    expect(await ask(`${origin}/b`, bearer('key-one'))).toEqual([200, expect.any(String)]);
    expect(simulator.requests).toHaveLength(2);
    audit.flush();
    const refused = place
      .records()
      .filter(({ type, data }) => type === 'request' && data['end'] === 'refused');
    expect(refused).toHaveLength(3);
    const accesses = place.records().filter(({ type }) => type === 'access');
    expect(accesses.map(({ data }) => [data['key'], data['way'], data['count']])).toEqual([
      ['acme/keys-1', 'request', 2],
    ]);
  });
});

describe('a trail that is asked for twice', () => {
  it('is kept once, and ends when all have stopped it', async () => {
    const place = auditPlace();
    const { manager, audit: one } = place.start();
    const two = startAudit(manager, { path: place.folder });
    const three = startAudit(manager);
    expect([two.folder, three.folder]).toEqual([place.folder, place.folder]);
    manager.getApiKey('acme');
    one.stop();
    one.stop();
    two.stop();
    manager.getApiKey('acme');
    expect(three.last(1).map(({ data }) => data['count'])).toEqual([2]);
    three.stop();
    expect(place.types()).toEqual(['opened', 'checkpoint', 'access', 'checkpoint', 'closed', 'checkpoint']);
    expect(manager.accesses.isActive).toBe(false);
    manager.getApiKey('acme');
    const anew = startAudit(manager, place.options);
    manager.getApiKey('acme');
    anew.stop();
    expect(await place.verify()).toMatchObject({ ok: true, files: 2 });
  });

  it('cannot be kept in two folders', () => {
    const place = auditPlace();
    const { manager } = place.start();
    const elsewhere = `${place.folder}-2`;
    expect(() => startAudit(manager, { path: elsewhere })).toThrow(
      expect.objectContaining({ code: 'KEYMUX_USAGE', message: expect.stringContaining(place.folder) }),
    );
  });

  it('must not fail from then on where one of both says so', () => {
    const place = blocked();
    const { manager, audit } = place.start();
    audit.flush();
    manager.disable('acme/2');
    audit.flush();
    expect(manager.getApiKey('acme')).toBe('key-one');
    const strict = startAudit(manager, { failClosed: true });
    startAudit(manager, { failClosed: true });
    expect(() => manager.getApiKey('acme')).toThrow(REFUSED);
    expect(strict.trouble).toEqual(REFUSED);
    expect(place.warnings).toHaveLength(1);
    place.mend();
    strict.flush();
    expect(manager.getApiKey('acme')).toBe('key-one');
    expect(strict.trouble).toBeUndefined();
  });
});
