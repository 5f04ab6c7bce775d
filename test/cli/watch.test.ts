import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { displayWidth } from '#keymux/cli/display-width.js';
import { describe, expect, it } from 'vitest';
import { BIN, CANARY, acmeProject } from './keymux-process.js';
import type { Project, Running } from './keymux-process.js';

const hasScript = spawnSync('script', ['--version']).status === 0;
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';

/** The lines of the last whole frame. */
function lastFrame(output: string): string[] {
  const frame =
    output
      .split('\u001b[H')
      .filter((part) => part.includes('\u001b[J'))
      .at(-1) ?? '';
  return frame.slice(0, frame.indexOf('\u001b[J')).replaceAll('\u001b[K', '').split('\r\n');
}

describe('keymux status --watch into a pipe', () => {
  it.each([
    ['SIGINT', 0],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('appends frames until %s', async (signal, exitCode) => {
    const running = acmeProject().start(['status', '--watch']);
    await running.saw(/store {5}[^]*\n\nstore {5}/);
    running.process.kill(signal);
    const { code, stdout, stderr } = await running.ended;
    expect([code, stderr]).toEqual([exitCode, '']);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).not.toContain(CANARY);
  });
});

describe.skipIf(!hasScript)('keymux status --watch on a terminal', () => {
  function watch(
    rows: number,
    columns: number,
    aside = '',
    input = '',
  ): { running: Running; project: Project; path: (name: string) => string } {
    const project = acmeProject();
    execFileSync('mkfifo', [project.path('go')]);
    const line = `stty rows ${rows} cols ${columns}; ${aside} "${process.execPath}" "${BIN}" status --watch ${input}; echo "code $?"; stty -a`;
    const running = project.startProgram('script', ['-qec', line, '/dev/null'], {
      TERM: 'xterm',
      NO_COLOR: '1',
    });
    return { running, project, path: (name) => project.path(name) };
  }

  it('fits the window, and restores the terminal upon q', async () => {
    const { running } = watch(6, 60);
    const frame = lastFrame(await running.saw('more keys'));
    expect(frame.length).toBeLessThanOrEqual(6);
    expect(Math.max(...frame.map(displayWidth))).toBeLessThanOrEqual(60);
    expect(frame.at(-1)).toMatch(/^q quit/);
    running.process.stdin?.write('q');
    const { stdout } = await running.ended;
    expect(stdout.indexOf(ENTER)).toBeGreaterThanOrEqual(0);
    const after = stdout.slice(stdout.indexOf(LEAVE) + LEAVE.length);
    expect(after).toContain('code 0');
    expect(after).toMatch(/[^-]icanon/);
    expect(stdout).not.toContain(CANARY);
  });

  it('sorts and filters by key, and tells what changes as it happens', async () => {
    const { running, project } = watch(30, 120);
    await running.saw('q quit · s sort: as configured · f show: all keys');
    running.process.stdin?.write('s');
    await running.saw('s sort: trouble first');
    running.process.stdin?.write('f');
    await running.saw('● no key is in trouble');
    const manager = await project.manager();
    manager.disable('acme/2');
    await manager.shutdown();
    const frame = lastFrame(await running.saw('▼ acme/2 unproven → disabled')).join('\n');
    expect(frame).toContain('acme/2  – disabled');
    expect(frame).not.toContain('acme/main  ');
    running.process.stdin?.write('q');
    const { stdout } = await running.ended;
    expect(stdout).not.toContain(CANARY);
    // Nothing but the frame's own steering: without colour no colour.
    expect(
      new Set(
        stdout
          .split('\u001b')
          .slice(1)
          .map((part) => /^\[[\d;?]*(.)/.exec(part)?.[1]),
      ),
    ).not.toContain('m');
  });

  it('ends upon Ctrl-C', async () => {
    const { running } = watch(40, 100);
    expect(lastFrame(await running.saw('acme/2')).join('\n')).not.toContain('more keys');
    running.process.stdin?.write('\u0003');
    const { stdout } = await running.ended;
    expect(stdout.slice(stdout.indexOf(LEAVE))).toContain('code 0');
  });

  it('draws anew when the window changes', async () => {
    const { running, path } = watch(6, 40, '(read -r line < go; stty rows 50 cols 120 < /dev/tty) &');
    await running.saw('more keys');
    writeFileSync(path('go'), 'go\n');
    const frame = lastFrame(await running.saw('acme/2'));
    expect(frame.length).toBeGreaterThan(8);
    running.process.stdin?.write('q');
    await running.ended;
  });

  it('restores the terminal upon an interrupt also where it reads no keys', async () => {
    const { running } = watch(40, 100, 'trap : INT;', '< /dev/null');
    await running.saw('acme/2');
    running.process.stdin?.write('\u0003');
    const { stdout } = await running.ended;
    expect(stdout.slice(stdout.indexOf(LEAVE))).toContain('code 0');
  });

  it('leaves the terminal alone where the configuration is faulty', async () => {
    const { running } = watch(40, 120, 'KEYMUX_CONFIG=lost.yaml');
    const { stdout } = await running.ended;
    expect(stdout).toContain('code 3');
    expect(stdout).not.toContain(ENTER);
  });
});
