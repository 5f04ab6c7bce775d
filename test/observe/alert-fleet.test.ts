import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv } from '../manager/acme.js';
import { startReceiver, told } from './alert-receiver.js';

const soon = { timeout: 20_000, interval: 20 };
const MEMBER = fileURLToPath(new URL('./members/alerting.mjs', import.meta.url));

function stateDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-alerts-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function startMember(directory: string, webhook: string) {
  const alerts = [{ when: 'keys-left', below: 2, webhook }];
  const settings = { env: acmeEnv(['key-one', 'key-two']), config: { ...acmeConfig(), alerts } };
  const child = spawn(process.execPath, [MEMBER, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, KEYMUX_STATE_DIR: directory },
  });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async (): Promise<unknown> => JSON.parse((await lines.next()).value as string);
  expect(await read()).toBe('ready');
  return {
    pid: child.pid!,
    call: (...line: unknown[]): Promise<unknown> => {
      child.stdin.write(`${JSON.stringify(line)}\n`);
      return read();
    },
    kill: async (): Promise<void> => {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

describe('the processes of a fleet', () => {
  it('tell each thing once, though all of them see it', async () => {
    const directory = stateDirectory();
    const receiver = await startReceiver();
    const members = await Promise.all([1, 2, 3].map(() => startMember(directory, receiver.url)));
    await members[0]!.call('disable', 'acme/main');
    for (const member of members)
      await expect.poll(() => member.call('claims'), soon).toEqual({ raised: 1, over: 0 });
    await members[1]!.call('enable', 'acme/main');
    await expect
      .poll(() => told(receiver.alerts), soon)
      .toEqual(['keys-left raised acme', 'keys-left recovered acme']);
    // Whoever told of it told that it is over.
    const [raised, recovered] = receiver.alerts;
    expect(recovered!.pid).toBe(raised!.pid);
    expect(members.map(({ pid }) => pid)).toContain(raised!.pid);
    // The others asked whether they are to tell it, and did not.
    for (const member of members)
      await expect.poll(() => member.call('claims'), soon).toEqual({ raised: 1, over: 1 });
    expect(receiver.received).toHaveLength(2);
  });

  it('tell the end of what a process raised that is gone', async () => {
    const directory = stateDirectory();
    const receiver = await startReceiver();
    const members = await Promise.all([1, 2, 3].map(() => startMember(directory, receiver.url)));
    await members[0]!.call('disable', 'acme/main');
    for (const member of members)
      await expect.poll(() => member.call('claims'), soon).toEqual({ raised: 1, over: 0 });
    await expect.poll(() => told(receiver.alerts), soon).toEqual(['keys-left raised acme']);
    const teller = members.find(({ pid }) => pid === receiver.alerts[0]!.pid)!;
    const others = members.filter((member) => member !== teller);
    await teller.kill();
    await others[0]!.call('enable', 'acme/main');
    await expect
      .poll(() => told(receiver.alerts), soon)
      .toEqual(['keys-left raised acme', 'keys-left recovered acme']);
    expect(others.map(({ pid }) => pid)).toContain(receiver.alerts[1]!.pid);
  });
});
