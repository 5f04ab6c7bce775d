import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AgentReport, KeymuxNews } from '#keymux/cli/demo/agent-programs.js';
import { runPrograms } from '#keymux/cli/demo/agent-programs.js';
import { badDay } from '#keymux/cli/demo/bad-day.js';
import { castFor, isInstalled } from '#keymux/cli/demo/cast.js';
import type { Agent } from '#keymux/cli/demo/cast.js';
import { LineDisplay, LiveDisplay } from '#keymux/cli/demo/display.js';
import { KeyBoard } from '#keymux/cli/demo/key-board.js';
import { newsText } from '#keymux/cli/demo/news-text.js';
import { setStage } from '#keymux/cli/demo/stage.js';
import { summaryText } from '#keymux/cli/demo/summary-text.js';
import type { Summary } from '#keymux/cli/demo/tally.js';
import { Tally } from '#keymux/cli/demo/tally.js';
import { coloursFor } from '#keymux/cli/terminal.js';
import { ok } from '#keymux/testing/script.js';

const runner = fileURLToPath(new URL('./demo-runner.mjs', import.meta.url));
const bin = fileURLToPath(new URL('../../dist/bin.js', import.meta.url));
const plain = coloursFor({ isTTY: false });
/** A whole day, on a machine that is busy with other tests. */
const DAY_MS = 100_000;
const deadlineMs = 80_000;

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

interface Running {
  readonly child: ChildProcess;
  /** Everything on stdout, or stderr, so far. */
  readonly out: () => string;
  readonly err: () => string;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
  /** What it left behind in the folder for temporary files. */
  readonly leftBehind: () => string[];
}

function start(args: readonly string[]): Running {
  const folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
  const child = spawn(process.execPath, args, {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  cleanUps.push(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const texts = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.err += text));
  return {
    child,
    out: () => texts.out,
    err: () => texts.err,
    ended: once(child, 'close').then(([code]) => code as number | null),
    leftBehind: () => readdirSync(folder),
  };
}

const startDemo = (options: object): Running => start([runner, JSON.stringify({ deadlineMs, ...options })]);

/** Resolves as soon as the text of the stream holds this. */
async function said(running: Running, stream: 'out' | 'err', text: string): Promise<void> {
  const source = stream === 'out' ? running.child.stdout : running.child.stderr;
  while (!running[stream]().includes(text)) {
    if (source === null) throw new Error('the stream is not piped');
    await Promise.race([
      once(source, 'data'),
      running.ended.then(() => Promise.reject(new Error(running.err()))),
    ]);
  }
}

describe('keymux demo', () => {
  it(
    'loses nothing on a bad day whose faults all happened, and can be looked at afterwards',
    async () => {
      const demo = startDemo({ json: true, keep: true });
      await said(demo, 'err', 'Ctrl-C ends');
      const summary: Summary = JSON.parse(demo.out());
      expect(summary.problems).toEqual([]);
      expect(summary).toMatchObject({
        ok: true,
        lost: 0,
        losses: [],
        overshoots: 0,
        ordersExecutedTwice: 0,
        replaced: [],
      });
      expect(summary.agents).toHaveLength(11);
      expect(new Set(summary.agents.map(({ runsAs }) => runsAs))).toEqual(new Set(['thread', 'process']));
      expect(summary.agents.every(({ of, ok }) => of === ok)).toBe(true);
      expect(summary.faults.filter(({ count }) => count === 0)).toEqual([]);
      expect(summary.failovers).toBeGreaterThan(20);
      expect(summary.sent).toBeGreaterThan(summary.requests);
      expect(summary.absorbed).toMatchObject({
        rejected: expect.any(Number),
        'rate-limited': expect.any(Number),
      });
      expect(summary.afterKeyFailure.count).toBeGreaterThan(5);

      const [envFile = ''] = /(?<=--env-file=)\S+/.exec(demo.err()) ?? [];
      const status = await promisify(execFile)(process.execPath, [
        `--env-file=${envFile}`,
        bin,
        'status',
        '--json',
      ]);
      const { keys } = JSON.parse(status.stdout) as { keys: { id: string; state: string }[] };
      expect(keys.find(({ id }) => id === 'anthropic/2')?.state).toBe('rejected');

      demo.child.kill('SIGINT');
      expect(await demo.ended).toBe(0);
      expect(demo.leftBehind()).toEqual([]);
    },
    DAY_MS,
  );

  it(
    'runs eleven agents where no client of npm is installed',
    async () => {
      const demo = startDemo({ missing: true });
      expect(await demo.ended).toBe(0);
      expect(demo.out()).toMatch(/^ *\d+\.\d s {2}\d+ of \d+ requests answered, 0 lost, \d+ failovers$/m);
      expect(demo.out()).toMatch(/^ *\d+\.\d s {2}acme\/main -> acme\/2 \(rejected, 401\)$/m);
      expect(demo.out()).toContain('● Every request was answered');
      expect(demo.out()).toMatch(
        /built-in client stood in: prices \(superagent\), feed \(ws\), .*candles \(undici\)/,
      );
      expect(demo.out()).not.toContain('\u001b');
      expect(demo.leftBehind()).toEqual([]);
    },
    DAY_MS,
  );

  it(
    'tells of the losses, and fails, without keymux',
    async () => {
      const demo = startDemo({ bare: true, json: true });
      expect(await demo.ended).toBe(1);
      const summary: Summary = JSON.parse(demo.out());
      expect(summary).toMatchObject({ ok: false, bare: true, failovers: 0 });
      expect(summary.lost).toBeGreaterThan(100);
      expect(summary.overshoots).toBeGreaterThan(0);
      expect(summary.problems).toContain(`${summary.lost} requests were lost`);
      expect(summary.problems).toContainEqual(expect.stringContaining('never happened'));
      expect(demo.out()).not.toMatch(/km-[0-9a-f]{8}/);
    },
    DAY_MS,
  );

  it.each(['SIGINT', 'SIGTERM'] as const)('ends in order upon %s', async (signal) => {
    const demo = start([bin, 'demo']);
    await said(demo, 'out', 'requests answered');
    demo.child.kill(signal);
    expect(await demo.ended).toBe(signal === 'SIGINT' ? 130 : 143);
    expect(demo.leftBehind()).toEqual([]);
    expect(demo.err()).toBe('');
  });

  it('gives the terminal back when it is interrupted', async () => {
    const demo = startDemo({ terminal: { columns: 90, rows: 20 } });
    await said(demo, 'out', 'eleven unmodified agents');
    demo.child.kill('SIGINT');
    expect(await demo.ended).toBe(130);
    expect(demo.out().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
  });

  it('takes its programs and files along when its reader is gone', async () => {
    const demo = start([bin, 'demo']);
    await said(demo, 'out', 'requests answered');
    demo.child.stdout?.destroy();
    expect(await demo.ended).toBe(0);
    expect(demo.leftBehind()).toEqual([]);
  });

  it('counts what is not done in time as lost', async () => {
    const demo = startDemo({ json: true, deadlineMs: 1 });
    expect(await demo.ended).toBe(1);
    const summary: Summary = JSON.parse(demo.out());
    expect(summary.lost).toBe(summary.requests);
    expect(summary.losses).toContainEqual({ id: 'trader', why: '80 of 80 pieces of work were never done' });
  });
});

const agent = (changes: Partial<Agent>): Agent => ({
  name: 'quotes',
  provider: 'alpha_vantage',
  client: 'built-in fetch',
  file: 'quotes-fetch.mjs',
  runsAs: 'process',
  pieces: 2,
  ...changes,
});

describe('runPrograms', () => {
  it('ends all programs when one crashes, and keeps what that one said', async () => {
    const stage = await setStage(badDay());
    try {
      const ends = await runPrograms(
        [agent({ name: 'gone', file: 'gone.mjs' }), agent({})],
        { env: stage.env, folder: stage.folder, isBare: true, signal: new AbortController().signal },
        { onReport() {}, onNews() {} },
      );
      const [crashed, stopped] = ends.filter(({ agents }) => agents[0]?.runsAs === 'process');
      expect(crashed).toMatchObject({ code: 1, wasStopped: false });
      expect(crashed?.stderr).toContain('gone.mjs');
      expect(stopped?.wasStopped).toBe(true);
      const summary = new Tally([agent({})]).summarize(stage, ends, { bare: true, durationMs: 1 });
      expect(summary.problems[0]).toMatch(/^the program of gone ended with exit code 1: .*gone\.mjs/s);
      expect(summary.problems.filter((problem) => problem.startsWith('the program'))).toHaveLength(1);
    } finally {
      await stage.close();
    }
  });
});

describe('setStage', () => {
  it('leaves nothing behind when a simulator cannot start', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
    vi.stubEnv('TMPDIR', folder);
    cleanUps.push(() => {
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true });
    });
    const [first, ...rest] = badDay();
    const faulty = rest.map((provider) => ({
      ...provider,
      keys: provider.keys.map((key) => ({ ...key, script: { always: ok(), then: ok() } })),
    }));
    await expect(setStage(first === undefined ? [] : [first, ...faulty])).rejects.toThrow("'always'");
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('the cast', () => {
  it('is eleven, also where no client of npm is installed', () => {
    expect(castFor(() => true)).toHaveLength(11);
    const twins = castFor(() => false);
    expect(twins).toHaveLength(11);
    expect(twins.map(({ name }) => name)).toEqual(castFor(() => true).map(({ name }) => name));
    expect(twins.every(({ packageName }) => packageName === undefined)).toBe(true);
  });

  it('finds what is installed', () => {
    expect(isInstalled('yaml')).toBe(true);
    expect(isInstalled('no-such-package')).toBe(false);
  });
});

const report = (changes: Partial<AgentReport>): AgentReport => ({
  agent: 'quotes',
  of: 2,
  ok: 0,
  lost: 0,
  ...changes,
});

describe('Tally', () => {
  it('does not believe an agent whose provider never answered well', async () => {
    const stage = await setStage(badDay());
    try {
      const tally = new Tally([agent({ pieces: 1 })]);
      tally.addReport(report({ ok: 1, id: 'quotes-1' }));
      const { ok, problems, losses } = tally.summarize(stage, [], { bare: false, durationMs: 1 });
      expect(ok).toBe(false);
      expect(losses).toEqual([]);
      expect(problems).toContain('quotes-1 counts as done, but its provider never answered it well');
    } finally {
      await stage.close();
    }
  });

  it('sees an order that was carried out twice, and a limit that was overshot', async () => {
    const stage = await setStage(badDay());
    try {
      const order = (): Promise<Response> =>
        fetch(`${stage.env['ACME_URL']}/v1/orders`, {
          method: 'POST',
          headers: { 'x-api-key': stage.env['ACME_API_KEY'] ?? '' },
          body: JSON.stringify({ id: 'order-1' }),
        });
      await order();
      await order();
      const quote = (): Promise<Response> =>
        fetch(`${stage.env['FINNHUB_URL']}/quote?token=${stage.env['FINNHUB_API_KEY']}`);
      for (let n = 0; n < 11; n += 1) await quote();
      const summary = new Tally([]).summarize(stage, [], { bare: false, durationMs: 1 });
      expect(summary).toMatchObject({ overshoots: 1, ordersExecutedTwice: 1 });
      expect(summary.problems).toEqual(
        expect.arrayContaining(['1 requests went over a limit', '1 orders were carried out twice']),
      );
    } finally {
      await stage.close();
    }
  });

  it('never tells a key', async () => {
    const stage = await setStage(badDay());
    try {
      const tally = new Tally([agent({ pieces: 1 })]);
      const key = stage.env['OPENAI_API_KEY_2'] ?? '';
      tally.addReport(report({ lost: 1, id: 'quotes-1', error: `refused ${key}` }));
      const summary = tally.summarize(stage, [], { bare: false, durationMs: 1 });
      expect(summary.losses).toEqual([{ id: 'quotes-1', why: 'refused [openai/2]' }]);
      expect(summaryText(summary, plain)).toContain('quotes-1: refused [openai/2]');
    } finally {
      await stage.close();
    }
  });
});

const failover: KeymuxNews = {
  name: 'failover',
  event: {
    requestId: 'r',
    service: 'acme',
    from: 'acme/main',
    to: 'acme/2',
    reason: 'rejected',
    status: 401,
    attempt: 2,
    at: 0,
  },
};

function cooldown(subject: string, reason: 'rate-limited' | 'quota-exhausted', until: number): KeymuxNews {
  return { name: 'cooldown', event: { subject, reason, until, source: 'stated', at: 0 } };
}

describe('newsText', () => {
  it.each<[string | undefined, KeymuxNews]>([
    ['acme/main -> acme/2 (rejected, 401)', failover],
    ['acme/main rests 1.5 s (rate-limited, stated)', cooldown('acme/main', 'rate-limited', 1_500)],
    ['acme/main rests 10 min (quota-exhausted, stated)', cooldown('acme/main', 'quota-exhausted', 600_000)],
    ['acme/main answers again', { name: 'recovered', event: { subject: 'acme/main', at: 0 } }],
    ['every key of acme is out', { name: 'exhausted', event: { service: 'acme', at: 0 } }],
    ['the store is lost: disk full', { name: 'degraded', event: { message: 'disk full', fix: '', at: 0 } }],
    [undefined, { name: 'quota', event: { bucket: 'acme/main', retryAt: 1, at: 0 } }],
  ])('says "%s"', (text, news) => {
    expect(newsText(news)).toBe(text);
  });

  it('tells a repetition with the same key, and one without a status', () => {
    const { status: _, ...event } = failover.event;
    const again: KeymuxNews = { name: 'failover', event: { ...event, to: 'acme/main', reason: 'network' } };
    expect(newsText(again)).toBe('acme/main again (network)');
  });
});

describe('KeyBoard', () => {
  const keysOf = (board: KeyBoard, provider: string, now = 0): unknown =>
    board.states(now).find(({ id }) => id === provider);

  it('shows a rest until it ends or the key answers again', () => {
    const board = new KeyBoard(badDay());
    board.apply(cooldown('acme/main', 'rate-limited', 1_000));
    board.apply(cooldown('acme/2', 'quota-exhausted', 600_000));
    expect(keysOf(board, 'acme')).toMatchObject({
      keys: [
        { id: 'main', mood: 'resting', until: 1_000 },
        { id: '2', mood: 'dead' },
        { id: '3', mood: 'ready' },
        { id: 'backup', mood: 'ready' },
      ],
    });
    expect(keysOf(board, 'acme', 1_000)).toMatchObject({ keys: [{ mood: 'ready' }, {}, {}, {}] });
    board.apply({ name: 'recovered', event: { subject: 'acme/2', at: 1_000 } });
    expect(keysOf(board, 'acme', 1_000)).toMatchObject({ keys: [{}, { mood: 'ready' }, {}, {}] });
  });

  it('shows a bucket on all its keys, and a provider that rests', () => {
    const board = new KeyBoard(badDay());
    board.apply({ name: 'quota', event: { bucket: 'newswire/acct-1', retryAt: 500, at: 0 } });
    board.apply(cooldown('tickstore', 'rate-limited', 2_000));
    expect(keysOf(board, 'newswire')).toMatchObject({
      keys: [{ mood: 'out-of-permits' }, { mood: 'out-of-permits' }, { mood: 'ready' }],
    });
    expect(keysOf(board, 'tickstore')).toMatchObject({ restsUntil: 2_000 });
  });

  it('lets a limit that is used up hide nothing worse', () => {
    const board = new KeyBoard(badDay());
    board.apply(cooldown('finnhub/main', 'quota-exhausted', 9_000));
    board.apply({ name: 'quota', event: { bucket: 'finnhub/main', retryAt: 500, at: 0 } });
    board.apply(failover);
    expect(keysOf(board, 'finnhub')).toMatchObject({ keys: [{ mood: 'dead' }, {}, {}, {}] });
  });
});

describe('LineDisplay', () => {
  it('tells each thing once, though it happens to several programs', () => {
    const written: string[] = [];
    const display = new LineDisplay({ write: (text) => written.push(text) }, new Tally([agent({})]));
    cleanUps.push(() => display.stop());
    display.onNews(failover);
    display.onNews(failover);
    display.onNews({ name: 'quota', event: { bucket: 'acme/main', retryAt: 1, at: 0 } });
    display.onReport(report({ ok: 1, id: 'quotes-1' }));
    display.onReport(report({ lost: 1, id: 'quotes-2', error: 'no' }));
    display.onReport(report({}));
    expect(written.map((line) => line.slice(9))).toEqual([
      'acme/main -> acme/2 (rejected, 401)\n',
      'LOST quotes-2\n',
    ]);
  });
});

describe('LiveDisplay', () => {
  it('draws within the screen, and leaves it once', () => {
    const written: string[] = [];
    const tally = new Tally([agent({ pieces: 2 })]);
    tally.addReport(report({ ok: 1, lost: 1, id: 'quotes-2', error: 'no' }));
    const screen = { write: (text: string) => written.push(text), columns: 60, rows: 9 };
    const display = new LiveDisplay(screen, tally, badDay(), plain);
    display.stop();
    display.stop();
    const frame = written.find((text) => text.startsWith('\u001b[H')) ?? '';
    const lines = stripVTControlCharacters(frame).split('\r\n');
    expect(lines).toHaveLength(9);
    expect(lines.every((line) => [...line].length <= 60)).toBe(true);
    expect(lines[1]).toContain('1 of 2 answered, 1 lost');
    expect(lines.join('\n')).toMatch(/quotes .*1\/2 {2}1 lost/);
    expect(written.filter((text) => text.includes('\u001b[?1049l'))).toHaveLength(1);
  });

  it('shows what happens, and how each key fares', async () => {
    const written: string[] = [];
    const tally = new Tally([agent({ pieces: 2 })]);
    const display = new LiveDisplay({ write: (text) => written.push(text) }, tally, badDay(), plain);
    cleanUps.push(() => display.stop());
    const until = Date.now() + 600_000;
    display.onNews(failover);
    display.onNews(cooldown('acme/main', 'rate-limited', until));
    display.onNews(cooldown('acme/2', 'quota-exhausted', until));
    display.onNews(cooldown('alpha_vantage', 'rate-limited', until));
    display.onNews({ name: 'quota', event: { bucket: 'acme/3', retryAt: until, at: 0 } });
    display.onReport(report({ lost: 1, id: 'quotes-2', error: 'no' }));
    const frame = await vi.waitUntil(() => written.find((text) => text.includes('acme/main -> acme/2')));
    expect(frame).toMatch(/acme +◌ main limited \d+\.\d s {3}✗ 2 spent {3}◔ 3 full {3}● backup/);
    expect(frame).toMatch(/alpha_vantage.* down, \d+\.\d s/);
    expect(frame).toContain('LOST quotes-2');
  });
});
