/** Keys that a configuration takes from a vault, in managers, threads and commands. */
import { KeyManager } from '#keymux/manager/key-manager.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CANARY, Project } from '../cli/keymux-process.js';
import { memoryStore } from './acme.js';

const REGISTER = new URL('../../dist/register.js', import.meta.url).href;

function yaml(mode: 'direct' | 'virtual'): string {
  return `
providers:
  acme: { baseUrl: "http://127.0.0.1:9", mode: ${mode}, keys: [{ id: a, value: "vault:acme/main" }] }
vault: { key: "file:vault.key" }
store: { type: memory }
`;
}

async function projectWith(
  mode: 'direct' | 'virtual',
  more: Readonly<Record<string, string>> = {},
): Promise<Project> {
  const project = new Project({ 'keymux.config.yaml': yaml(mode), ...more });
  expect((await project.keymux(['vault', 'init'])).code).toBe(0);
  await store(project, `${CANARY}-one`);
  return project;
}

async function store(project: Project, value: string): Promise<void> {
  const running = project.start(['vault', 'set', 'acme/main']);
  running.process.stdin?.end(value);
  expect((await running.ended).stderr).toContain('acme/main is stored');
}

function managerOf(project: Project): { manager: KeyManager; warnings: string[] } {
  const warnings: string[] = [];
  const manager = new KeyManager({
    cwd: project.folder,
    env: project.env,
    store: memoryStore(),
    logger: { warn: (message) => void warnings.push(message), info: () => {} },
  });
  onTestFinished(() => manager.shutdown());
  return { manager, warnings };
}

describe('a key of a vault', () => {
  it('is used, followed, and gone when it is taken out of the vault', async () => {
    const project = await projectWith('direct');
    const { manager, warnings } = managerOf(project);
    await manager.ready;
    expect(manager.getApiKey('acme')).toBe(`${CANARY}-one`);
    expect(manager.configuration.vault?.path).toBe(project.path('keymux.vault'));
    await store(project, `${CANARY}-two`);
    await expect.poll(() => manager.getApiKey('acme'), { timeout: 15_000 }).toBe(`${CANARY}-two`);
    expect((await project.keymux(['vault', 'remove', 'acme/main'])).code).toBe(0);
    await expect.poll(() => manager.configuration.credentials, { timeout: 15_000 }).toEqual([]);
    expect(manager.configuration.notes.join()).toContain('the vault has no such entry');
    expect(warnings.join() + manager.configuration.notes.join()).not.toContain(CANARY);
  });

  it('stays out of everything that a program of mode virtual and its threads can see', async () => {
    const agent = `
      import { Worker, isMainThread, workerData } from 'node:worker_threads';
      import { MinimalMultiKeyManager } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
      const seen = JSON.stringify([process.env.ACME_API_KEY, workerData]);
      const keys = MinimalMultiKeyManager.instance().configuration.credentials.length;
      console.log(isMainThread ? 'main' : 'worker', keys, seen.includes(${JSON.stringify(CANARY)}));
      if (isMainThread) new Worker(new URL(import.meta.url));
    `;
    const project = await projectWith('virtual', { 'agent.mjs': agent });
    const running = project.startProgram(process.execPath, ['--import', REGISTER, 'agent.mjs']);
    const { stdout, stderr, code } = await running.ended;
    expect(stderr).toBe('');
    expect(stdout).toBe('main 1 false\nworker 1 false\n');
    expect(code).toBe(0);
  });
});
