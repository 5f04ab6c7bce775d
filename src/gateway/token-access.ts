/** Knows callers by their tokens, and by the virtual keys of a manager's providers. */
import { hash, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { KeyManager } from '../manager/key-manager.js';
import type { MemberContender } from '../manager/members.js';
import type { VirtualKey, VirtualKeys } from '../manager/virtual-keys.js';
import { virtualKeysOf } from '../manager/virtual-keys.js';
import type { Access, Caller, Role } from './access.js';
import type { ForwardTarget } from './target.js';
import type { GatewayToken } from './tokens.js';

/** Where SDKs and people put a key, whatever the provider is; the first known token counts. */
const USUAL_HEADERS = ['x-keymux-token', 'authorization', 'x-api-key', 'api-key', 'x-goog-api-key'];
const SUBPROTOCOL_HEADER = 'sec-websocket-protocol';
/** Browsers can set no header for a WebSocket; see "openai-insecure-api-key" in OpenAI's SDKs. */
const SUBPROTOCOL_TOKEN = /^openai-insecure-api-key\./;

const NOBODY: Caller = { roles: new Set(), name: 'nobody' };
const USE: ReadonlySet<Role> = new Set<Role>(['use']);
/** Four bits each. Fewer could be tried out: a virtual key keeps its provider's length, and some are short. */
const LEAST_SECRET_DIGITS = 12;
const CHECK_DIGITS = 6;
const VIRTUAL_BODY = /(?:keymux|6b65796d7578)([0-9a-f]+)$/;

/** Where else clients of the providers in a pool put a key. */
interface TokenPlaces {
  readonly headers: readonly string[];
  readonly parameters: readonly string[];
  readonly inPath: boolean;
}

export function createAccess(manager: KeyManager, tokens: readonly GatewayToken[]): Access {
  return new TokenAccess(virtualKeysOf(manager), tokens);
}

/** Whether a virtual key can serve as a token: whether it cannot be guessed. */
export function isStrongVirtualKey(text: string): boolean {
  const [, digits = ''] = VIRTUAL_BODY.exec(text.toLowerCase().replaceAll(/[-_.]/g, '')) ?? [];
  return digits.length - CHECK_DIGITS >= LEAST_SECRET_DIGITS;
}

class TokenAccess implements Access {
  /** What is compared are hashes that nobody outside can compute, so that no time taken tells of a token. */
  readonly #salt = randomBytes(16).toString('hex');
  readonly #tokens: ReadonlyMap<string, Caller>;
  readonly #virtualKeys: VirtualKeys;
  #virtual = new Map<string, Caller>();
  #adopted: readonly VirtualKey[] = [];

  constructor(virtualKeys: VirtualKeys, tokens: readonly GatewayToken[]) {
    this.#virtualKeys = virtualKeys;
    this.#tokens = new Map(
      tokens.map(({ name, role, secret }) => [
        this.#digest(secret.reveal()),
        { name, roles: new Set<Role>([role]) },
      ]),
    );
  }

  callerOf(headers: IncomingHttpHeaders, target?: ForwardTarget): Caller {
    for (const name of USUAL_HEADERS) {
      const caller = this.#inHeader(headers[name]);
      if (caller !== undefined) return caller;
    }
    return (target === undefined ? undefined : this.#inPlacesOf(headers, target)) ?? NOBODY;
  }

  #inPlacesOf(headers: IncomingHttpHeaders, { pool, path }: ForwardTarget): Caller | undefined {
    const places = placesOf(pool.contenders);
    for (const name of places.headers) {
      const caller = this.#inHeader(headers[name]);
      if (caller !== undefined) return caller;
    }
    return this.#inSubprotocol(headers[SUBPROTOCOL_HEADER]) ?? this.#inAddress(path, places);
  }

  /** The whole value, or what follows its scheme. */
  #inHeader(value: string | string[] | undefined): Caller | undefined {
    if (typeof value !== 'string' || value === '') return undefined;
    const blank = value.indexOf(' ');
    if (blank === -1) return this.#known(value);
    const rest = value.slice(blank + 1).trim();
    return /^basic$/i.test(value.slice(0, blank)) ? this.#inBasic(rest) : this.#known(rest);
  }

  #inBasic(encoded: string): Caller | undefined {
    const text = Buffer.from(encoded, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (colon === -1) return this.#known(text);
    return this.#known(text.slice(0, colon)) ?? this.#known(text.slice(colon + 1));
  }

  #inSubprotocol(value: string | undefined): Caller | undefined {
    for (const protocol of value?.split(',') ?? []) {
      const name = protocol.trim();
      if (SUBPROTOCOL_TOKEN.test(name)) return this.#known(name.replace(SUBPROTOCOL_TOKEN, ''));
    }
    return undefined;
  }

  #inAddress(path: string, { parameters, inPath }: TokenPlaces): Caller | undefined {
    const at = path.indexOf('?');
    if (parameters.length > 0 && at !== -1) {
      const query = new URLSearchParams(path.slice(at + 1));
      for (const name of parameters) {
        const caller = this.#known(query.get(name) ?? '');
        if (caller !== undefined) return caller;
      }
    }
    if (!inPath) return undefined;
    // Only a virtual key: the forwarder puts the real one in its place, and would pass a token on.
    const steps = path.slice(0, at === -1 ? undefined : at).split('/');
    return steps.map((step) => this.#known(step)).find((caller) => caller?.provider !== undefined);
  }

  #known(text: string): Caller | undefined {
    if (text === '') return undefined;
    const digest = this.#digest(text);
    return this.#tokens.get(digest) ?? this.#virtualCallers().get(digest);
  }

  #virtualCallers(): ReadonlyMap<string, Caller> {
    const { all } = this.#virtualKeys;
    if (all === this.#adopted) return this.#virtual;
    this.#adopted = all;
    const strong = all.filter(({ text }) => isStrongVirtualKey(text));
    this.#virtual = new Map(
      strong.map(({ provider, text }) => [
        this.#digest(text),
        { name: `virtual key of ${provider}`, roles: USE, provider },
      ]),
    );
    return this.#virtual;
  }

  #digest(text: string): string {
    return hash('sha256', this.#salt + text, 'base64url');
  }
}

/** By what a pool holds, which is another list once the configuration was read anew. */
const places = new WeakMap<readonly MemberContender[], TokenPlaces>();

function placesOf(contenders: readonly MemberContender[]): TokenPlaces {
  let known = places.get(contenders);
  if (known === undefined) {
    const all = contenders.flatMap(({ member: { provider } }) => [
      provider.auth,
      ...provider.authAlternatives,
    ]);
    const headers = all.flatMap((auth) => (auth.in === 'header' ? [auth.name.toLowerCase()] : []));
    const parameters = all.flatMap((auth) => (auth.in === 'query' ? [auth.name] : []));
    known = {
      headers: [...new Set(headers)].filter((name) => !USUAL_HEADERS.includes(name)),
      parameters: [...new Set(parameters)],
      inPath: all.some((auth) => auth.in === 'path'),
    };
    places.set(contenders, known);
  }
  return known;
}
