/** What a simulated provider sends over a WebSocket: a greeting, numbered ticks, and an echo of each message. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Action } from './script.js';
import { DEFAULT_EVENT_PAUSE_MS, untilAborted } from './simulator-answer.js';
import { CLOSE, WebSocketPeer } from './simulator-websocket.js';

const TICKS_BEFORE_TROUBLE = 3;

/** Whether the upgrade is accepted; any other action is an HTTP answer to the handshake. */
export function acceptsUpgrade(action: Action): action is Action & { do: 'ok' | 'echo' | 'stream' } {
  return action.do === 'ok' || action.do === 'echo' || action.do === 'stream';
}

export function acceptFeed(
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
  keyName: string,
): WebSocketPeer {
  const peer: WebSocketPeer = new WebSocketPeer(request, socket, head, (data) =>
    peer.send(JSON.stringify({ type: 'echo', key: keyName, data })),
  );
  peer.send(JSON.stringify({ type: 'ready', key: keyName }));
  return peer;
}

/** Sends ticks as the action says; `cut` breaks the connection. Rejects when the signal ends it. */
export async function runFeed(
  action: Action & { do: 'ok' | 'echo' | 'stream' },
  peer: WebSocketPeer,
  keyName: string,
  signal: AbortSignal,
  cut: () => void,
): Promise<void> {
  if (action.do === 'echo' || (action.do === 'ok' && action.everyMs === undefined)) return;
  const everyMs = action.everyMs ?? DEFAULT_EVENT_PAUSE_MS;
  const ends = action.do === 'stream' ? (action.ends ?? 'complete') : 'complete';
  const messages = action.do === 'stream' ? action.events : undefined;
  const given = action.do === 'stream' ? (action.after ?? messages?.length) : undefined;
  const last = given ?? (ends === 'complete' ? Number.POSITIVE_INFINITY : TICKS_BEFORE_TROUBLE);
  for (let n = 1; n <= last; n += 1) {
    await sleep(everyMs, undefined, { signal });
    peer.send(messages?.[n - 1] ?? JSON.stringify({ type: 'tick', key: keyName, n }));
  }
  if (ends === 'complete') peer.close(CLOSE.normal, 'the feed is over');
  else if (ends === 'cut') cut();
  else await untilAborted(signal);
}
