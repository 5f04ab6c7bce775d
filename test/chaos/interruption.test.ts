import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { command } from './processes.js';
import { whyNoHosts } from './hosts.js';

const PROGRAM = fileURLToPath(new URL('../../scripts/chaos.mjs', import.meta.url));

/** What a run with this process id left behind: folders, disks, network namespaces, processes. */
function tracesOf(pid: number): string[] {
  const folder = `keymux-chaos-${pid}-`;
  const namespaces = whyNoHosts() === undefined ? command('ip', 'netns', 'list').split('\n') : [];
  const processes = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => environmentOf(entry).includes(folder));
  return [
    ...readdirSync(tmpdir()).filter((entry) => entry.startsWith(folder)),
    ...readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(folder)),
    ...namespaces.filter((name) => name.startsWith(`kmx${pid}-`)),
    ...processes.map((entry) => `process ${entry}`),
  ];
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}

it.skipIf(process.platform !== 'linux')(
  'leaves nothing behind after Ctrl-C in the middle of a storm',
  { timeout: 90_000 },
  async () => {
    const args = [
      PROGRAM,
      '--seed',
      '4',
      '--scenario',
      'agents',
      '--store',
      'sqlite',
      '--short',
      '--demand',
      'modest',
    ];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const pid = child.pid ?? 0;
    await new Promise<void>((resolve) => {
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (/agent-(stopped|killed)/.test(output)) resolve();
      });
    });
    expect(tracesOf(pid)).not.toEqual([]);
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number | null];
    expect(code).toBe(130);
    expect(tracesOf(pid)).toEqual([]);
  },
);
