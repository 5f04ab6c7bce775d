import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { SourceWatch } from '#keymux/manager/source-watch.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { memoryStore } from './acme.js';

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-reload-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function configure(directory: string, text: string): void {
  writeFileSync(join(directory, 'keymux.config.yaml'), text);
}

const ACME = 'providers: { acme: { baseUrl: "http://127.0.0.1:9", env: [ACME_API_KEY] } }\n';

describe('a changed configuration file', () => {
  it('is taken up while the program runs, and a faulty one is told and left aside', async () => {
    const directory = folder();
    configure(directory, ACME);
    const warnings: string[] = [];
    const manager = new KeyManager({
      env: { ACME_API_KEY: 'key-one', OTHER_API_KEY: 'key-other' },
      cwd: directory,
      store: memoryStore(),
      logger: { warn: (message) => void warnings.push(message), info: () => {} },
    });
    onTestFinished(() => manager.shutdown());
    expect(manager.getApiKey('acme')).toBe('key-one');
    configure(directory, `${ACME.replace('[ACME_API_KEY]', '[OTHER_API_KEY]')}# changed\n`);
    await expect.poll(() => manager.getApiKey('acme'), { timeout: 10_000 }).toBe('key-other');
    configure(directory, 'providers: { acme: { baseUrll: "x" } }');
    await expect.poll(() => warnings.length, { timeout: 10_000 }).toBe(1);
    expect(warnings[0]).toMatch(/not used.*baseUrl/s);
    expect(manager.getApiKey('acme')).toBe('key-other');
  });
});

describe('the watch', () => {
  it('tells of a file that changes, goes or comes, and of nothing else', async () => {
    const directory = folder();
    const path = join(directory, 'file');
    writeFileSync(path, 'one');
    let changes = 0;
    const watch = new SourceWatch(() => (changes += 1));
    onTestFinished(() => watch.stop());
    watch.follow([path]);
    await watch.look();
    await watch.look();
    expect(changes).toBe(0);
    writeFileSync(path, 'other');
    await watch.look();
    expect(changes).toBe(1);
    rmSync(path);
    await watch.look();
    expect(changes).toBe(2);
    writeFileSync(path, 'back');
    await watch.look();
    await watch.look();
    expect(changes).toBe(3);
  });

  it('forgets what it saw when it is given other files meanwhile', async () => {
    const directory = folder();
    const path = join(directory, 'file');
    writeFileSync(path, 'one');
    let changes = 0;
    const watch = new SourceWatch(() => (changes += 1));
    watch.follow([path]);
    await watch.look();
    writeFileSync(path, 'other');
    const looking = watch.look();
    watch.follow([]);
    await looking;
    expect(changes).toBe(0);
  });
});
