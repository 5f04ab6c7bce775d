/** The processes of the agents: started, killed, started anew, and what they and keymux inside them said. */
import type { Call, Life, News } from './evidence.js';
import type { AgentPlan } from './plan.js';
import { nowMs, Started } from './processes.js';
import type { Stage } from './stage.js';
import { actorPath, preloadPath } from './stage.js';

interface CallLine {
  readonly event: 'call';
  readonly id: string;
  readonly method: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly status?: number;
  readonly error?: string;
}

interface EndLine {
  readonly event: 'end';
  readonly began: number;
  readonly ended: number;
}

interface NewsLine {
  readonly event?: undefined;
  readonly at: number;
  readonly name: string;
  readonly message?: string;
}

type Line = CallLine | EndLine | NewsLine;

/** By how much a wall clock jumps. Milliseconds. */
const JUMP_MS = -60_000;
const ENDS_WITHIN_MS = 20_000;

/** One agent through all of its processes. */
export class Agent {
  readonly plan: AgentPlan;
  readonly calls: Call[] = [];
  readonly news: News[] = [];
  readonly #stage: Stage;
  readonly #lives: Life[] = [];
  #process: Started | undefined;
  #startedAt = 0;
  #end: EndLine | undefined;
  #goodOfThisLife = 0;
  #isDegraded = false;
  #atOnce = 0;

  constructor(plan: AgentPlan, stage: Stage) {
    this.plan = plan;
    this.#stage = stage;
    stage.cleanup.add(
      async () => this.#process?.kill(),
      () => this.#process?.signal('SIGKILL'),
    );
  }

  get lives(): readonly Life[] {
    return this.#lives;
  }

  /** The end of what its process wrote to stderr. */
  get stderr(): string {
    return this.#process?.stderr.trim() ?? '';
  }

  /** Whether it lives, was served, and has its store. */
  get isWell(): boolean {
    return this.isServed && !this.#isDegraded;
  }

  /** What it last said of its store. */
  get storeText(): string {
    const last = this.news.findLast(({ name }) => name === 'degraded' || name === 'restored');
    return `${this.plan.name} (${last?.name ?? 'nothing'}: ${last?.message ?? ''})`;
  }

  get isServed(): boolean {
    return this.#process?.isRunning === true && this.#goodOfThisLife > 0;
  }

  start({ isReadOnly = false } = {}): void {
    const { kind, host, everyMs, skewMs } = this.plan;
    const incarnation = this.#lives.length + 1;
    const register = kind === 'library' || kind === 'careless' ? [] : ['--require', preloadPath()];
    const preloads = [
      '--require',
      actorPath('wall-clock.cjs'),
      ...register,
      '--require',
      actorPath('observer.cjs'),
    ];
    const node = [
      process.execPath,
      ...preloads,
      actorPath(`agent-${kind === 'careless' ? 'fetch' : kind}.mjs`),
    ];
    const prefix = isReadOnly ? (this.#stage.sqlite?.readOnlyPrefix ?? []) : [];
    const [program = process.execPath, ...args] = [...prefix, ...node];
    this.#startedAt = nowMs();
    this.#end = undefined;
    this.#goodOfThisLife = 0;
    this.#isDegraded = false;
    this.#process = new Started({
      program,
      args,
      namespace: host === undefined ? undefined : this.#stage.hosts?.namespaceOf(host),
      env: {
        ...this.#stage.env,
        AGENT: `${this.plan.name}.${incarnation}`,
        EVERY_MS: String(everyMs),
        AT_ONCE: String(this.#atOnce),
        CHAOS_SKEW_MS: String(skewMs),
        CHAOS_JUMP_MS: String(JUMP_MS),
      },
      onLine: (line) => this.#onLine(line as Line),
    });
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#bury(true);
  }

  freeze(): void {
    this.#process?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#process?.signal('SIGCONT');
  }

  /** Sets its wall clock back. */
  jump(): void {
    this.#process?.signal('SIGUSR2');
  }

  /** From now on, in later processes too, it wants more than there is. */
  saturate(atOnce: number): void {
    this.#atOnce = atOnce;
    this.#process?.tell({ do: 'saturate', atOnce });
  }

  /** Lets it finish what it began; one that does not end is killed, and has no end to tell of. */
  async stop(): Promise<void> {
    const started = this.#process;
    if (started === undefined) return;
    started.tell({ do: 'stop' });
    const timer = setTimeout(() => started.signal('SIGKILL'), ENDS_WITHIN_MS);
    await started.ended;
    clearTimeout(timer);
    this.#bury(false);
  }

  #bury(wasKilled: boolean): void {
    const started = this.#process;
    if (started === undefined) return;
    this.#lives.push({
      agent: this.plan.name,
      incarnation: this.#lives.length + 1,
      startedAt: this.#startedAt,
      wasKilled,
      ...(this.#end === undefined ? {} : { began: this.#end.began, ended: this.#end.ended }),
      exitCode: started.child.exitCode,
      complaint: started.stderr.trim(),
    });
    this.#process = undefined;
  }

  #onLine(line: Line): void {
    if (typeof line !== 'object') return;
    switch (line.event) {
      case 'call': {
        const { event: _, ...call } = line;
        this.calls.push({ agent: this.plan.name, ...call });
        if (line.status === 200) this.#goodOfThisLife += 1;
        return;
      }
      case 'end':
        this.#end = line;
        return;
      case undefined:
        this.news.push({ agent: this.plan.name, ...line });
        if (line.name === 'degraded') this.#isDegraded = true;
        if (line.name === 'restored') this.#isDegraded = false;
    }
  }
}
