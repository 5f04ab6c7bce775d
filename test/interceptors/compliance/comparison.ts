/**
 * Runs the same program three times: alone, under keymux that has nothing to do with its requests, and under keymux
 * that puts another key into each of them. What the program sees must be the same.
 */
import { execFile as execFileWithCallback } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { beforeAll, describe, expect, it } from 'vitest';
import { startSite } from './site.js';

const execFile = promisify(execFileWithCallback);

const PRELOAD = fileURLToPath(new URL('../../../dist/register.cjs', import.meta.url));
const RUNNER = fileURLToPath(new URL('./runner.mjs', import.meta.url));

/** The program holds this key; keymux prefers the other one. */
const CAPTURED = 'key-captured';
const PREFERRED = 'key-preferred';

type How = 'alone' | 'elsewhere' | 'managed';
type Log = Readonly<Record<string, readonly string[]>>;

interface Run {
  readonly log: Log;
  /** The keys that the site saw. */
  readonly keys: ReadonlySet<string | undefined>;
}

interface Scenarios {
  readonly scenarios: Readonly<Record<string, { readonly isGood: boolean }>>;
}

async function run(file: string, names: readonly string[], how: How): Promise<Run> {
  const certificate = createCertificate();
  const site = await startSite(certificate);
  const cwd = mkdtempSync(join(tmpdir(), 'keymux-compliance-'));
  try {
    const ca = join(cwd, 'ca.pem');
    writeFileSync(ca, certificate.cert);
    const origins = how === 'managed' ? [site.http, site.https] : ['http://127.0.0.1:9'];
    const config = {
      store: { type: 'memory' },
      providers: {
        acme: {
          baseUrl: origins[0],
          origins,
          auth: { in: 'header', name: 'x-api-key' },
          keys: [
            { id: 'captured', value: 'env:CAPTURED_KEY', priority: 2 },
            { id: 'preferred', value: 'env:PREFERRED_KEY', priority: 1 },
          ],
        },
      },
    };
    writeFileSync(join(cwd, 'keymux.config.json'), JSON.stringify(config));
    const env = {
      ...process.env,
      NODE_EXTRA_CA_CERTS: ca,
      NODE_NO_WARNINGS: '1',
      CAPTURED_KEY: CAPTURED,
      PREFERRED_KEY: PREFERRED,
      SITE: JSON.stringify(site),
    };
    const preload = how === 'alone' ? [] : ['--import', PRELOAD];
    const args = [...preload, RUNNER, fileURLToPath(new URL(file, import.meta.url)), JSON.stringify(names)];
    const { stdout } = await execFile(process.execPath, args, { env, cwd, maxBuffer: 2 ** 26 });
    return { log: JSON.parse(stdout) as Log, keys: new Set(site.keys) };
  } finally {
    site.close();
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** Defines the tests; one for each scenario of the file, for either way to run under keymux. */
export async function compareRuns(file: string): Promise<void> {
  const { scenarios } = (await import(new URL(file, import.meta.url).href)) as Scenarios;
  const good = Object.keys(scenarios).filter((name) => scenarios[name]?.isGood === true);
  // In this order, so that connections count alike with and without the others.
  const all = [...new Set([...good, ...Object.keys(scenarios)])];
  const runs = new Map<How, Run>();
  beforeAll(async () => {
    const ways: readonly How[] = ['alone', 'elsewhere', 'managed'];
    await Promise.all(
      ways.map(async (how) => runs.set(how, await run(file, how === 'managed' ? good : all, how))),
    );
  }, 120_000);

  /** What an abort leaves of the connections is a matter of moments: the next request may have any of them. */
  const logOf = (how: How, name: string): readonly string[] | undefined => {
    const log = runs.get(how)?.log[name];
    return name.includes('aborted')
      ? log?.map((line) => line.replace(/("x-connection":)"\d+"/, '$1"any"'))
      : log;
  };

  describe(`${file}: a request to a host that nobody manages`, () => {
    it.each(all)('is the same as without keymux: %s', (name) => {
      expect(logOf('elsewhere', name)).toEqual(logOf('alone', name));
      expect(runs.get('alone')?.log[name]).not.toEqual([]);
      expect(runs.get('alone')?.log[name]).not.toContain('HANGS');
    });

    it('keeps its key', () => {
      expect(runs.get('elsewhere')?.keys).toEqual(runs.get('alone')?.keys);
      expect(runs.get('elsewhere')?.keys).toContain(CAPTURED);
    });
  });

  describe(`${file}: a request to a managed host`, () => {
    it.each(good)('is the same as without keymux, but for its key: %s', (name) => {
      expect(logOf('managed', name)).toEqual(logOf('alone', name));
    });

    it('gets its key from keymux', () => {
      expect(runs.get('managed')?.keys).toContain(PREFERRED);
    });
  });
}
