/** A webhook on a real socket, and managers whose alerts go there. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { FileAlert } from '#keymux/config/file-content.js';
import { acmeConfig, acmeManager } from '../manager/acme.js';
import type { AcmeOptions } from '../manager/acme.js';
import { startAlerts } from '#keymux/observe/alerts.js';
import type { AlertOptions } from '#keymux/observe/alerts.js';
import type { AlertPayload } from '#keymux/observe/alert-payload.js';
import { onTestFinished } from 'vitest';

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Receiver {
  /** Its path is a secret that must be seen nowhere. */
  readonly url: string;
  readonly received: readonly Received[];
  /** The bodies as alerts. */
  readonly alerts: readonly AlertPayload[];
}

export const CANARY_PATH = '/services/T0/CANARY-hook-51c9';

/** Answers 204, or as `answer` does, which is told how many came before. */
export async function startReceiver(
  answer: (response: ServerResponse, before: number) => void = (response) =>
    void response.writeHead(204).end(),
): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ headers: request.headers, body });
      answer(response, received.length - 1);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}${CANARY_PATH}`,
    received,
    get alerts() {
      return received.map(({ body }) => JSON.parse(body) as AlertPayload);
    },
  };
}

export interface WatchedOptions extends AcmeOptions {
  readonly alerts: readonly FileAlert[];
  readonly watch?: AlertOptions;
}

/** A manager with alerts, the log of the alerts, and the watch itself. */
export function watched({ alerts, watch = {}, ...acme }: WatchedOptions) {
  const log: string[] = [];
  const note = (message: string): void => void log.push(message);
  const manager = acmeManager({
    ...acme,
    options: { logger: { warn: note, info: note }, ...acme.options, config: { ...acmeConfig(acme), alerts } },
  });
  const watching = startAlerts(manager, {
    lookEveryMs: 10,
    firstPauseMs: 10,
    logger: { warn: note, info: note },
    ...watch,
  });
  onTestFinished(() => watching.stop());
  return { manager, log, watching };
}

/** `quota raised acme/main`, for each alert. */
export function told(alerts: readonly AlertPayload[]): string[] {
  return alerts.map(
    ({ rule, state, subject, reminder }) => `${rule} ${reminder ? 'still ' : ''}${state} ${subject}`,
  );
}
