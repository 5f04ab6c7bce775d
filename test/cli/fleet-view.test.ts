import { fleetReport } from '#keymux/cli/fleet-report.js';
import type { FleetReport, MemberReport } from '#keymux/cli/fleet-report.js';
import { fleetText, leaseRows, memberRows } from '#keymux/cli/fleet-view.js';
import { statusLines } from '#keymux/cli/status-view.js';
import { KeymuxError } from '#keymux/core/errors.js';
import type { Census } from '#keymux/core/fleet.js';
import type { Store } from '#keymux/core/ports.js';
import pc from 'picocolors';
import { describe, expect, it } from 'vitest';

const NOW = new Date(2026, 0, 31, 12, 0, 0).getTime();
const plain = pc.createColors(false);

function member(pid: number, more: Partial<MemberReport> = {}): MemberReport {
  const memberId = `m-${pid}`;
  return { memberId, host: 'web-1', pid, startedAt: NOW, seenAt: NOW, behind: 0, leads: [], ...more };
}

const fleet: FleetReport = {
  at: NOW,
  members: [
    member(11, { startedAt: NOW - 7_200_000, leads: [{ group: 'g', token: 7, until: NOW + 3_000 }] }),
    member(12, { host: 'web-2', seenAt: NOW - 2_000, behind: 4 }),
  ],
  leases: [
    { bucket: 'acme/main', permits: 12, leases: 2 },
    { bucket: 'acme/spare', permits: 1, leases: 1 },
  ],
};

function storeWith(census: () => Census, shared = true): Store {
  return { shared, census } as unknown as Store;
}

describe('the fleet of status', () => {
  it('is summed up in one line', () => {
    expect(fleetText(fleet)).toBe('2 processes on 2 hosts, 13 permits leased');
    expect(fleetText({ at: NOW, members: [member(1)], leases: [] })).toBe(
      '1 process on 1 host, 0 permits leased',
    );
  });

  it('has a row for each process, and says who leads', () => {
    expect(memberRows(fleet, plain, Number.POSITIVE_INFINITY)).toEqual([
      'host   pid  since    last seen  behind  leads',
      'web-1   11  2 h ago  now             0  ● token 7',
      'web-2   12  now      2 s ago         4',
    ]);
    expect(memberRows(fleet, plain, 20)).toEqual([
      'host   pid  behind',
      'web-1   11       0',
      'web-2   12       4',
    ]);
  });

  it('has a row for each bucket with leased permits', () => {
    expect(leaseRows(fleet, Number.POSITIVE_INFINITY)).toEqual([
      'bucket      permits  leases',
      'acme/main        12       2',
      'acme/spare        1       1',
    ]);
    expect(leaseRows({ ...fleet, leases: [] }, 80)).toEqual([]);
  });

  it('does not hide everything else where it is large', () => {
    const large = { ...fleet, members: Array.from({ length: 500 }, (_, index) => member(index)) };
    const rows = memberRows(large, plain, 80);
    expect(rows).toHaveLength(32);
    expect(rows.at(-1)).toBe('… 470 more');
  });

  it('stands below the keys, and the store is told with a prefix of its own', () => {
    const store = { kind: 'redis', shared: true, place: 'redis://redis.internal', prefix: 'eu' };
    const report = { at: NOW, store, fleet, sources: [], notes: [], services: [], providers: [], keys: [] };
    const lines = statusLines(report, plain, 200);
    expect(lines.slice(0, 2)).toEqual([
      'store     redis (redis://redis.internal, prefix eu)',
      'fleet     2 processes on 2 hosts, 13 permits leased',
    ]);
    expect(lines.indexOf('processes')).toBeGreaterThan(0);
    expect(lines.indexOf('leases')).toBeGreaterThan(lines.indexOf('processes'));
  });
});

describe('fleetReport', () => {
  const census: Census = {
    at: NOW,
    members: [
      { memberId: 'young', host: 'b', pid: 2, startedAt: NOW - 1, seenAt: NOW, behind: 0 },
      { memberId: 'old', host: 'a', pid: 1, startedAt: NOW - 9, seenAt: NOW, behind: 1 },
      { memberId: 'aged', host: 'a', pid: 3, startedAt: NOW - 9, seenAt: NOW, behind: 0 },
    ],
    leaders: [
      { group: 'g', memberId: 'old', token: 3, until: NOW + 1 },
      { group: 'h', memberId: 'young', token: 9, until: NOW },
    ],
    leases: [
      { bucket: 'b', permits: 1, leases: 1 },
      { bucket: 'a', permits: 2, leases: 1 },
    ],
  };

  it('puts the oldest first, and ends a leadership with its time', async () => {
    const report = await fleetReport(storeWith(() => census));
    expect(report?.members.map(({ memberId, leads }) => [memberId, leads.map(({ token }) => token)])).toEqual(
      [
        ['aged', []],
        ['old', [3]],
        ['young', []],
      ],
    );
    expect(report?.leases.map(({ bucket }) => bucket)).toEqual(['a', 'b']);
  });

  it('is absent where nobody shares, or where the store cannot be asked', async () => {
    const fail = (error: Error) => (): never => {
      throw error;
    };
    const lost = new KeymuxError('KEYMUX_STORE_UNAVAILABLE', 'gone', { fix: 'wait' });
    expect(await fleetReport(storeWith(() => census, false))).toBeUndefined();
    expect(await fleetReport(storeWith(fail(lost)))).toBeUndefined();
    await expect(fleetReport(storeWith(fail(new TypeError('a fault'))))).rejects.toThrow('a fault');
  });
});
