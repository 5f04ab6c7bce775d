/** The server's side of a WebSocket (RFC 6455): a handshake and text frames, without extensions. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

const HANDSHAKE_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const OPCODE = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;
const FINAL = 0x80;
const MASKED = 0x80;
const LONGEST_MESSAGE_BYTES = 16 * 1_048_576;

interface Frame {
  readonly final: boolean;
  readonly masked: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
  /** Bytes that the frame takes up, its head included. */
  readonly size: number;
}

/** Close codes of RFC 6455, section 7.4.1. */
export const CLOSE = { normal: 1000, protocolError: 1002, policy: 1008, tooBig: 1009 } as const;

/** One open WebSocket. */
export class WebSocketPeer {
  readonly #socket: Duplex;
  readonly #onMessage: (text: string) => void;
  #pending: Buffer = Buffer.alloc(0);
  #fragments: Buffer[] = [];
  #fragmentBytes = 0;
  #closing = false;

  /** Accepts the upgrade. `head` is what the client sent right behind its request. */
  constructor(request: IncomingMessage, socket: Duplex, head: Buffer, onMessage: (text: string) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key'] ?? ''}${HANDSHAKE_GUID}`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    if (head.length > 0) socket.unshift(head);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  send(text: string): void {
    this.#write(OPCODE.text, Buffer.from(text));
  }

  /** Says goodbye; the connection ends when the client has answered, or gone. */
  close(code: number, reason: string): void {
    if (this.#closing) return;
    const status = Buffer.alloc(2);
    status.writeUInt16BE(code);
    this.#write(OPCODE.close, Buffer.concat([status, Buffer.from(reason)]));
    this.#closing = true;
  }

  #write(opcode: number, payload: Buffer): void {
    if (this.#closing || this.#socket.destroyed) return;
    this.#socket.write(Buffer.concat([frameHead(opcode, payload.length), payload]));
  }

  #receive(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const frame = readFrame(this.#pending);
      if (frame === undefined) return;
      if (frame === 'too-big') return this.#fail(CLOSE.tooBig, 'the message is too big');
      this.#pending = this.#pending.subarray(frame.size);
      if (!frame.masked) return this.#fail(CLOSE.protocolError, 'a client has to mask its frames');
      this.#handle(frame);
    }
  }

  #handle(frame: Frame): void {
    switch (frame.opcode) {
      case OPCODE.ping:
        return this.#write(OPCODE.pong, frame.payload);
      case OPCODE.pong:
        return;
      case OPCODE.close:
        this.#write(OPCODE.close, frame.payload.subarray(0, 2));
        this.#closing = true;
        this.#socket.end();
        return;
      default:
        this.#collect(frame);
    }
  }

  #collect(frame: Frame): void {
    this.#fragments.push(frame.payload);
    this.#fragmentBytes += frame.payload.length;
    if (this.#fragmentBytes > LONGEST_MESSAGE_BYTES)
      return this.#fail(CLOSE.tooBig, 'the message is too big');
    if (!frame.final) return;
    const message = Buffer.concat(this.#fragments).toString('utf8');
    this.#fragments = [];
    this.#fragmentBytes = 0;
    this.#onMessage(message);
  }

  #fail(code: number, reason: string): void {
    this.close(code, reason);
    this.#socket.end();
  }
}

function frameHead(opcode: number, length: number): Buffer {
  if (length < 126) return Buffer.from([FINAL | opcode, length]);
  if (length < 65_536) {
    const head = Buffer.from([FINAL | opcode, 126, 0, 0]);
    head.writeUInt16BE(length, 2);
    return head;
  }
  const head = Buffer.alloc(10);
  head.writeUInt8(FINAL | opcode, 0);
  head.writeUInt8(127, 1);
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

/** The first frame in the buffer; `undefined` while it is incomplete. */
function readFrame(buffer: Buffer): Frame | 'too-big' | undefined {
  if (buffer.length < 2) return undefined;
  const first = buffer.readUInt8(0);
  const second = buffer.readUInt8(1);
  const masked = (second & MASKED) !== 0;
  const shortLength = second & 0x7f;
  const lengthBytes = shortLength === 126 ? 2 : shortLength === 127 ? 8 : 0;
  const payloadAt = 2 + lengthBytes + (masked ? 4 : 0);
  if (buffer.length < payloadAt) return undefined;
  const length =
    lengthBytes === 0
      ? shortLength
      : lengthBytes === 2
        ? buffer.readUInt16BE(2)
        : Number(buffer.readBigUInt64BE(2));
  if (length > LONGEST_MESSAGE_BYTES) return 'too-big';
  const size = payloadAt + length;
  if (buffer.length < size) return undefined;
  const payload = Buffer.from(buffer.subarray(payloadAt, size));
  if (masked) unmask(payload, buffer.subarray(payloadAt - 4, payloadAt));
  return { final: (first & FINAL) !== 0, masked, opcode: first & 0x0f, payload, size };
}

function unmask(payload: Buffer, mask: Buffer): void {
  for (let index = 0; index < payload.length; index += 1) {
    payload.writeUInt8(payload.readUInt8(index) ^ mask.readUInt8(index & 3), index);
  }
}
