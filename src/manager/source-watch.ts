import { type Stats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

const LOOK_EVERY_MS = 2_000;

/**
 * Tells when one of the files changed that the configuration was read from. It looks every two seconds: editors and
 * deployments replace files in too many ways for notifications to be relied on, and there are one or two files.
 */
export class SourceWatch {
  readonly #onChange: () => void;
  #isOn = false;
  #sources: readonly string[] = [];
  #seen = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  start(): void {
    this.#isOn = true;
    this.follow(this.#sources);
  }

  /** These files from now on; what they hold now is known. */
  follow(sources: readonly string[]): void {
    this.#sources = sources;
    this.#seen = new Map();
    if (!this.#isOn || sources.length === 0) return;
    // At once: whatever is written from now on is a change.
    this.#seen = new Map(sources.map((path) => [path, stateNow(path)]));
    this.#timer ??= setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
  }

  stop(): void {
    this.#isOn = false;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks once; a file seen for the first time is no change. */
  async look(): Promise<void> {
    const sources = this.#sources;
    const states = await Promise.all(sources.map(async (path) => [path, await stateOf(path)] as const));
    if (sources !== this.#sources) return;
    const hasChanged = states.some(([path, state]) => this.#seen.has(path) && this.#seen.get(path) !== state);
    this.#seen = new Map(states);
    if (hasChanged) this.#onChange();
  }
}

async function stateOf(path: string): Promise<string> {
  try {
    return textOf(await stat(path));
  } catch {
    return UNREADABLE;
  }
}

function stateNow(path: string): string {
  try {
    return textOf(statSync(path));
  } catch {
    return UNREADABLE;
  }
}

const UNREADABLE = 'unreadable';

function textOf({ ino, size, mtimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs}`;
}
