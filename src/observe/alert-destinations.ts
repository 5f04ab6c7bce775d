/** Where alerts go: one outbox for each address and each command, however many rules name it. */
import type { AlertDefinition, AlertWebhook } from '../config/alert-definition.js';
import type { Logger } from '../core/ports.js';
import { commandName, runCommand } from './alert-command.js';
import { Outbox } from './alert-outbox.js';
import type { OutboxContext } from './alert-outbox.js';
import { headline } from './alert-payload.js';
import type { AlertPayload } from './alert-payload.js';
import { sendToWebhook } from './alert-webhook.js';

export interface DestinationContext {
  readonly send: typeof fetch;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly commandDeadlineMs?: number | undefined;
  readonly firstPauseMs?: number | undefined;
}

/** What became of the messages, for metrics. */
export interface AlertCounts {
  /** Messages that arrived. */
  readonly delivered: number;
  /** Messages that were given up. */
  readonly failed: number;
}

export class AlertDestinations {
  readonly #context: DestinationContext;
  readonly #outboxes = new Map<string, Outbox>();

  constructor(context: DestinationContext) {
    this.#context = context;
  }

  get counts(): AlertCounts {
    const all = [...this.#outboxes.values()].map(({ counts }) => counts);
    return {
      delivered: all.reduce((sum, { delivered }) => sum + delivered, 0),
      failed: all.reduce((sum, { failed }) => sum + failed, 0),
    };
  }

  /** Never waits. */
  tell({ webhook, command, folder, log }: AlertDefinition, payload: AlertPayload): void {
    if (webhook !== undefined) this.#toWebhook(webhook).add(payload);
    if (command !== undefined) this.#toCommand(command, folder).add(payload);
    if (!log) return;
    const { fix, state } = payload;
    this.#context.logger.warn(`keymux: ${headline(payload)}${state === 'raised' ? ` ${fix}` : ''}`);
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all([...this.#outboxes.values()].map((outbox) => outbox.close(graceMs)));
  }

  #toWebhook(webhook: AlertWebhook): Outbox {
    const { send } = this.#context;
    return this.#outbox(`${webhook.format} ${webhook.url.reveal()}`, webhook.option, (payload, signal) =>
      sendToWebhook(webhook, payload, send, signal),
    );
  }

  #toCommand(command: readonly string[], folder: string): Outbox {
    const { env, commandDeadlineMs: deadlineMs } = this.#context;
    return this.#outbox(JSON.stringify([folder, ...command]), commandName(command), (payload, signal) =>
      runCommand(command, payload, { folder, env, deadlineMs }, signal),
    );
  }

  /** `id` may hold secrets and stays here; `name` is for people. */
  #outbox(id: string, name: string, deliver: OutboxContext['deliver']): Outbox {
    const known = this.#outboxes.get(id);
    if (known !== undefined) return known;
    const { logger, firstPauseMs } = this.#context;
    const outbox = new Outbox({
      deliver,
      onTrouble: (reason) =>
        logger.warn(`keymux: An alert could not be told to ${name}: ${reason}. Requests are not affected.`),
      onRecovery: () => logger.warn(`keymux: Alerts arrive at ${name} again.`),
      random: Math.random,
      firstPauseMs,
    });
    this.#outboxes.set(id, outbox);
    return outbox;
  }
}
