import { CallbackReceiver } from './undici-callbacks.js';
import type { ControlledHandler } from './undici-controlled.js';
import { ControlledReceiver } from './undici-controlled.js';
import type { Receiver } from './undici-handlers.js';

export function receiverOf(handler: object): Receiver {
  return isControlled(handler) ? new ControlledReceiver(handler) : new CallbackReceiver(handler);
}

function isControlled(handler: object): handler is ControlledHandler {
  return 'onRequestStart' in handler && handler.onRequestStart !== undefined;
}
