/** Health: published, read, and followed. The channel brings changes at once; behind it they are reconciled slowly. */
import { randomBytes } from 'node:crypto';
import { KeymuxError } from '../../core/errors.js';
import type { Fence } from '../../core/fleet.js';
import { careOf } from '../../core/health.js';
import type { HealthRecord } from '../../core/ports.js';
import { parseHealth } from '../records.js';
import type { RedisClient } from './client.js';
import type { Generation } from './generation.js';
import type { Line } from './line.js';

const RECONCILE_EVERY_MS = 5_000;
const MOST_IN_ONE_CALL = 200;

type OnChange = (records: readonly HealthRecord[]) => void;

export interface FeedContext {
  readonly line: Line;
  readonly client: RedisClient;
  readonly channel: string;
  readonly generation: Generation;
}

export class Feed {
  readonly #context: FeedContext;
  readonly #writer = randomBytes(9).toString('base64url');
  readonly #listeners = new Set<{ readonly onChange: OnChange }>();
  /** What this process knows of each subject, for a server that lost it. */
  readonly #latest = new Map<string, HealthRecord>();
  /** Number of the last change that was told. */
  #heard = 0;
  /** The server lost what it had, and was not given back yet what this process knows. */
  #isLost = false;
  #reconciling: Promise<void> | undefined;
  #isStale = false;
  #timer: NodeJS.Timeout | undefined;
  #following: Promise<() => Promise<void>> | undefined;

  constructor(context: FeedContext) {
    this.#context = context;
  }

  get heard(): number {
    return this.#heard;
  }

  /** Everything; changes are told from here on. */
  async read(): Promise<HealthRecord[]> {
    const { parts } = await this.#context.line.ask('changes', ['', 0]);
    const [epoch = '', seq, ...rows] = parts;
    this.#context.generation.learn(epoch);
    if (this.#listeners.size === 0) this.#heard = Number(seq);
    return this.#note(toChanges(rows).map(({ record }) => record));
  }

  async publish(records: readonly HealthRecord[], fence?: Fence): Promise<readonly HealthRecord[]> {
    const standing: HealthRecord[] = [];
    // An empty call is worth one question where a fence is to be checked.
    for (let at = 0; at === 0 || at < records.length; at += MOST_IN_ONE_CALL) {
      standing.push(...(await this.#publishSome(records.slice(at, at + MOST_IN_ONE_CALL), fence)));
    }
    return standing;
  }

  watch(onChange: OnChange): () => void {
    const listener = { onChange };
    this.#listeners.add(listener);
    this.#follow();
    this.#timer ??= setInterval(() => {
      this.#follow();
      void this.reconcile().catch(() => {});
    }, RECONCILE_EVERY_MS).unref();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) void this.close();
    };
  }

  /**
   * Gives a server back what it lost, and reads what the channel did not bring. At most once at a time, and once more
   * where that was too early.
   */
  reconcile(): Promise<void> {
    this.#isStale = true;
    this.#reconciling ??= this.#reconcile().finally(() => (this.#reconciling = undefined));
    return this.#reconciling;
  }

  /** The server lost everything. */
  async restore(): Promise<void> {
    this.#isLost = true;
    await this.reconcile();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
    const following = this.#following;
    this.#following = undefined;
    await following?.then((stop) => stop()).catch(() => {});
  }

  async #publishSome(records: readonly HealthRecord[], fence: Fence | undefined): Promise<HealthRecord[]> {
    const { line, channel, generation } = this.#context;
    const { word, parts } = await line.ask('publish', [
      this.#writer,
      channel,
      fence?.group ?? '',
      fence?.token ?? '',
      ...records.flatMap(({ subject, health, disabled, disabledVersion }) => [
        subject,
        JSON.stringify(health),
        JSON.stringify(careOf(health)),
        disabled ? '1' : '0',
        disabledVersion,
      ]),
    ]);
    if (word === 'FENCED' && fence !== undefined) throw fenced(fence, parts);
    const [epoch = '', before, after, ...standing] = parts;
    generation.learn(epoch);
    if (Number(before) === this.#heard) this.#heard = Number(after);
    return this.#note(
      records.map((record, index) => {
        const [health, disabled, version] = standing.slice(index * 3, index * 3 + 3);
        return toRecord(record.subject, health, disabled, version) ?? record;
      }),
    );
  }

  #follow(): void {
    const { client, channel } = this.#context;
    const following = (this.#following ??= client.subscribe(channel, {
      onMessage: (message) => this.#hear(message),
      onGap: () => void this.reconcile().catch(() => {}),
    }));
    following.catch(() => {
      if (this.#following === following) this.#following = undefined;
    });
  }

  #hear(message: string): void {
    const [writer, epoch, before, after, ...rows] = parseMessage(message);
    if (epoch !== this.#context.generation.epoch || before > this.#heard) {
      void this.reconcile().catch(() => {});
      return;
    }
    if (after <= this.#heard) return;
    this.#heard = after;
    if (writer === this.#writer) return;
    this.#tell(inRowsOf(4, rows).flatMap(([subject, ...rest]) => toRecord(subject ?? '', ...rest) ?? []));
  }

  async #reconcile(): Promise<void> {
    const { line, generation } = this.#context;
    if (this.#isLost) await this.#giveBack();
    while (this.#isStale && this.#listeners.size > 0) {
      this.#isStale = false;
      const { parts } = await line.ask('changes', [generation.epoch, this.#heard]);
      const [epoch = '', seq, ...rows] = parts;
      generation.learn(epoch);
      const news = toChanges(rows).filter(
        ({ number, writer }) => number > this.#heard && writer !== this.#writer,
      );
      this.#heard = Math.max(this.#heard, Number(seq));
      this.#tell(news.map(({ record }) => record));
    }
  }

  async #giveBack(): Promise<void> {
    this.#isLost = false;
    this.#heard = 0;
    try {
      if (this.#latest.size > 0) await this.publish([...this.#latest.values()]);
    } catch (error) {
      this.#isLost = true;
      throw error;
    }
  }

  #tell(records: readonly HealthRecord[]): void {
    if (records.length === 0) return;
    this.#note(records);
    for (const { onChange } of [...this.#listeners]) onChange(records);
  }

  #note<T extends readonly HealthRecord[]>(records: T): T {
    for (const record of records) this.#latest.set(record.subject, record);
    return records;
  }
}

type Message = readonly [writer: string, epoch: string, before: number, after: number, ...rows: string[]];

/** What is no message of ours counts as a gap. */
function parseMessage(text: string): Message {
  try {
    const message: unknown = JSON.parse(text);
    if (Array.isArray(message) && message.length >= 4) return message as unknown as Message;
  } catch {
    // As below.
  }
  return ['', '', 0, 0];
}

interface Change {
  readonly record: HealthRecord;
  readonly number: number;
  readonly writer: string;
}

function toChanges(rows: readonly string[]): Change[] {
  return inRowsOf(6, rows).flatMap(([subject = '', health, disabled, version, number, writer = '']) => {
    const record = toRecord(subject, health, disabled, version);
    return record === undefined ? [] : [{ record, number: Number(number), writer }];
  });
}

/** Undefined where something else wrote there: the subject starts afresh, as an unknown one would. */
function toRecord(
  subject: string,
  healthText = '',
  disabled?: string,
  disabledVersion?: string,
): HealthRecord | undefined {
  const health = parseHealth(healthText);
  if (health === undefined) return undefined;
  return { subject, health, disabled: disabled === '1', disabledVersion: Number(disabledVersion) };
}

export function inRowsOf(size: number, parts: readonly string[]): string[][] {
  const rows: string[][] = [];
  for (let at = 0; at < parts.length; at += size) rows.push(parts.slice(at, at + size));
  return rows;
}

function fenced({ group, token }: Fence, [leader, leaderToken]: readonly string[]): KeymuxError {
  const successor =
    leader === '' ? 'nobody leads it now' : `"${leader ?? ''}" leads it now (${leaderToken ?? ''})`;
  return new KeymuxError(
    'KEYMUX_FENCED',
    `Leadership ${String(token)} of the group "${group}" has ended: ${successor}. Nothing was stored.`,
    { fix: 'Stop acting as its leader until the next beat() says that this member leads again.' },
  );
}
