import { createHash, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readChain } from '#keymux/observe/audit-chain.js';
import { readLine } from '#keymux/observe/audit-record.js';
import { signerFromSeed } from '#keymux/observe/audit-signing.js';
import { describe, expect, it } from 'vitest';
import { auditPlace, batchOf } from './audit-folder.js';

const FILE = '20260101T000000000Z-1.jsonl';
const SIGNER = signerFromSeed(new Uint8Array(32).fill(1));
const PUBLIC_KEY = createPublicKey(SIGNER.publicKey);
const NEW_LINE = 10;

const keyOf = (fingerprint: string): KeyObject | undefined =>
  fingerprint === SIGNER.fingerprint ? PUBLIC_KEY : undefined;
const read = (content: Buffer) => readChain(FILE, content, keyOf);

/** A file of two batches: five lines, of which the second and the last are checkpoints. */
function twoBatches(): Buffer {
  const opened = { type: 'opened', data: { file: FILE, key: SIGNER.fingerprint, others: [] } };
  const first = batchOf(SIGNER, FILE, [opened]);
  const { seq, hash } = JSON.parse(first.at(-1) ?? '') as { seq: number; hash: string };
  const changed = { type: 'administered', data: { action: 'disable', subject: 'acme/main' } };
  const closed = { type: 'closed', data: {} };
  const second = batchOf(SIGNER, FILE, [changed, closed], { seq, hash });
  return Buffer.from([...first, ...second].map((line) => `${line}\n`).join(''));
}

/** The content with one bit of one byte turned. */
function flipped(content: Buffer, index: number): Buffer {
  const damaged = Buffer.from(content);
  damaged[index] = (damaged[index] ?? 0) ^ (1 << (index % 8));
  return damaged;
}

describe('every byte that is flipped', () => {
  it('in a file is noticed, with the line where it stands', () => {
    const content = twoBatches();
    expect(read(content)).toMatchObject({ fault: undefined, last: { seq: 5 } });
    let line = 1;
    for (const [index, byte] of content.entries()) {
      // A line end that is none any more spoils its own line; without the last one, nothing is signed since the checkpoint.
      const expected = index === content.length - 1 ? 3 : line;
      expect([index, read(flipped(content, index)).fault?.line]).toEqual([index, expected]);
      if (byte === NEW_LINE) line += 1;
    }
    expect(line).toBe(6);
  });

  it('in its anchor and its public key is noticed', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.stop();
    const anchors = join(place.stateFolder, 'audit-anchors');
    const [folder = ''] = readdirSync(anchors);
    const [anchor = ''] = readdirSync(join(anchors, folder));
    const [publicKey = ''] = readdirSync(place.folder).filter((name) => name.endsWith('.pem'));
    for (const path of [join(anchors, folder, anchor), join(place.folder, publicKey)]) {
      const content = readFileSync(path);
      expect(content.length).toBeGreaterThan(100);
      for (const index of content.keys()) {
        writeFileSync(path, flipped(content, index));
        const { faults } = await place.verify();
        expect([path, index, faults[0]?.file]).toEqual([path, index, place.files()[0]]);
      }
      writeFileSync(path, content);
      expect((await place.verify()).ok).toBe(true);
    }
  });
});

describe('a program that is killed at any byte', () => {
  it('leaves what was signed, and an end that is known for unsigned', () => {
    const content = twoBatches();
    const lineEnds = [...content.keys()].filter((index) => content[index] === NEW_LINE);
    const [firstBatch = 0, whole = 0] = [(lineEnds[1] ?? 0) + 1, content.length];
    for (let length = 0; length <= whole; length += 1) {
      const { fault, isUnsigned } = read(content.subarray(0, length));
      const isWhole = length === firstBatch || length === whole;
      const expected = isWhole ? undefined : length < firstBatch ? 1 : 3;
      expect([length, fault?.line, isUnsigned]).toEqual([length, expected, !isWhole]);
    }
  });

  it('hinders nobody: the trail goes on in another file, and only the torn end is told', async () => {
    const place = auditPlace();
    const killed = place.start();
    killed.manager.disable('acme/main');
    killed.audit.flush();
    const signed = place.text().length;
    killed.manager.disable('acme/2');
    killed.manager.enable('acme/2');
    killed.audit.flush();
    const [torn = ''] = place.files();
    const lines = place.text().slice(0, signed).split('\n').length;
    // In the midst of the second record of the second batch.
    truncateSync(place.pathOf(0), place.text().indexOf('"enable"', signed));
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.stop();
    expect(place.files()).toHaveLength(2);
    expect(audit.trouble).toBeUndefined();
    const { faults } = await place.verify();
    expect(faults).toEqual([{ file: torn, line: lines, why: expect.stringContaining('signed by nobody') }]);
    // What is whole of it is still shown.
    const subjects = place.records().map(({ file, data }) => file === torn && data['subject']);
    expect(subjects.filter((subject) => typeof subject === 'string')).toEqual(['acme/main', 'acme/2']);
    // Once somebody took away what nobody signed, nothing else is wrong with what is signed.
    truncateSync(place.pathOf(0), signed);
    const later = await place.verify();
    expect(later.faults.filter(({ why }) => why.includes('names'))).toEqual([]);
  });
});

describe('a file by somebody who can sign', () => {
  const opened = { type: 'opened', data: { file: FILE, key: SIGNER.fingerprint, others: [] } };
  const changed = { type: 'administered', data: {} };
  const closed = { type: 'closed', data: {} };
  const whyOf = (lines: readonly string[]): unknown => {
    const { fault } = read(Buffer.from(lines.map((line) => `${line}\n`).join('')));
    return fault && [fault.line, fault.why];
  };
  const batch = (...records: Parameters<typeof batchOf>[2]): string[] => batchOf(SIGNER, FILE, records);

  it('is refused where its records are not in their places', () => {
    expect(whyOf(batch(opened, changed, closed))).toBeUndefined();
    expect(whyOf(batch(changed))).toEqual([1, 'the file does not begin with its beginning']);
    expect(whyOf(batch(opened, opened))).toEqual([2, 'a file begins only once']);
    expect(whyOf(batch(opened, closed, changed))).toEqual([
      3,
      'something follows on the record that closes the file',
    ]);
    const other = { type: 'opened', data: { ...opened.data, file: 'another' } };
    expect(whyOf(batch(other))).toEqual([1, 'these are the records of another file']);
  });

  it('is refused where a record is left out or put in, and all after it was signed anew', () => {
    const lines = batch(opened);
    const { seq, hash } = JSON.parse(lines.at(-1) ?? '') as { seq: number; hash: string };
    const goesOn = (link: { seq: number; hash: string }): unknown =>
      whyOf([...lines, ...batchOf(SIGNER, FILE, [changed], link)]);
    expect(goesOn({ seq, hash })).toBeUndefined();
    expect(goesOn({ seq: seq + 1, hash })).toEqual([3, 'record 4 stands where 3 belongs']);
    expect(goesOn({ seq, hash: '0'.repeat(64) })).toEqual([3, 'it does not hang on the record before it']);
  });
});

describe('a line', () => {
  const lineOf = (body: string): Buffer => {
    const hash = createHash('sha256').update(body).digest('hex');
    return Buffer.from(`${body.slice(0, -1)},"hash":"${hash}"}`);
  };
  const record = { seq: 1, at: 1, type: 'x', data: {}, prev: '' };

  it('is no record without all of its parts, also where its hash fits', () => {
    expect(readLine(lineOf(JSON.stringify(record)))).toMatchObject(record);
    const odd = Object.keys(record).map((name) => JSON.stringify({ ...record, [name]: null }));
    for (const body of [...odd, JSON.stringify({ ...record, data: 'x' }), 'no JSON}', '}'])
      expect(readLine(lineOf(body))).toBe('this is no record of an audit trail');
    for (const text of ['', '{}', 'x'.repeat(200)])
      expect(readLine(Buffer.from(text))).toBe('this is no whole record');
  });
});
