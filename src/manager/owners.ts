/**
 * Who owns the allowance of a key, learnt where a provider names the owner in its answers. The table tells all threads,
 * the store all processes: as a record whose subject says it all, `owner:<provider>/<owner>:<key>`, both as fingerprints.
 */
import type { ProviderDefinition } from '../core/provider.js';
import type { ResponseHead } from '../providers/response-head.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Member } from './members.js';
import { fingerprint } from './members.js';

/** What stores call records of this kind. */
const SUBJECT = /^(owner:[^:]+):([0-9a-f]+)$/;
const LONGEST_OWNER = 256;

export interface OwnersContext {
  readonly table: StateTable;
  readonly fingerprintKey: () => Uint8Array;
  /** A new record is to be stored. */
  readonly publish: (subject: string) => void;
}

export class Owners {
  readonly #context: OwnersContext;
  /** Keys whose owner this thread was told by an answer. */
  readonly #learntHere = new Set<string>();

  constructor(context: OwnersContext) {
    this.#context = context;
  }

  /** Looks into the head of an answer as long as the owner of its key is not known. */
  learn(member: Member, head: ResponseHead): void {
    const { provider } = member;
    if (provider.ownerHeader === undefined) return;
    const { table, fingerprintKey, publish } = this.#context;
    const { rows, subjects } = member;
    if (table.get(rows.key, COUNTER.owner) !== 0) return;
    // A key that is refused tells nothing of who pays for it.
    if (head.status >= 400 && head.status !== 429) return;
    const owner = head.header(provider.ownerHeader)?.trim() ?? '';
    if (owner === '' || owner.length > LONGEST_OWNER) return;
    const name = nameOf(provider, fingerprint(`${provider.id} owner ${owner}`, fingerprintKey()));
    this.#learntHere.add(subjects.key);
    if (table.setOwner(rows.key, table.subject(name))) publish(`${name}:${fingerprintOf(subjects.key)}`);
  }

  /** Takes up a record of the store; `rowOf` gives the row of a key that is known here. */
  hear(subject: string, rowOf: (keySubject: string) => number | undefined): void {
    const [, owner, key] = SUBJECT.exec(subject) ?? [];
    const row = rowOf(`key:${key}`);
    if (owner === undefined || row === undefined) return;
    this.#context.table.setOwner(row, this.#context.table.subject(owner));
  }

  /** The same number for keys of one owner; 0 while it is not known, or where nothing names it. */
  ownerOf(member: Member): number {
    // Its row is looked up by fingerprint, which nobody should wait for in vain.
    if (member.provider.ownerHeader === undefined) return 0;
    return this.#context.table.get(member.rows.key, COUNTER.owner);
  }

  learntHere({ subjects }: Member): boolean {
    return this.#learntHere.has(subjects.key);
  }
}

export function isOwnerRecord(subject: string): boolean {
  return subject.startsWith('owner:');
}

function nameOf({ id }: ProviderDefinition, owner: string): string {
  return `owner:${id}/${owner}`;
}

function fingerprintOf(keySubject: string): string {
  return keySubject.slice('key:'.length);
}
