/** The fleet for people: a line for all, a row for each member, and what is leased. */
import type { FleetReport, MemberReport } from './fleet-report.js';
import { renderTable } from './table.js';
import type { Cell, Column } from './table.js';
import type { Colours } from './terminal.js';
import { relativeText } from './time-text.js';

/** A large fleet would hide everything else; `--json` has all of it. */
const MOST_ROWS = 30;

/** `3 processes on 2 hosts, 12 permits leased`. */
export function fleetText({ members, leases }: FleetReport): string {
  const hosts = new Set(members.map(({ host }) => host)).size;
  const permits = leases.reduce((sum, lease) => sum + lease.permits, 0);
  return `${counted(members.length, 'process', 'processes')} on ${counted(hosts, 'host', 'hosts')}, ${counted(permits, 'permit', 'permits')} leased`;
}

const MEMBER_COLUMNS: readonly Column[] = [
  { title: 'host' },
  { title: 'pid', align: 'right' },
  { title: 'since', dropOrder: 2 },
  { title: 'last seen', dropOrder: 1 },
  { title: 'behind', align: 'right' },
  { title: 'leads', dropOrder: 3 },
];

export function memberRows({ members, at }: FleetReport, colours: Colours, columns: number): string[] {
  const rows = members
    .slice(0, MOST_ROWS)
    .map((member): Cell[] => [
      { text: member.host },
      { text: String(member.pid) },
      { text: relativeText(member.startedAt, at) },
      { text: relativeText(member.seenAt, at) },
      { text: String(member.behind), ...(member.behind === 0 ? {} : { paint: colours.yellow }) },
      { text: leadsText(member), paint: colours.green },
    ]);
  return [...renderTable(MEMBER_COLUMNS, rows, columns), ...hiddenRows(members)];
}

const LEASE_COLUMNS: readonly Column[] = [
  { title: 'bucket' },
  { title: 'permits', align: 'right' },
  { title: 'leases', align: 'right', dropOrder: 1 },
];

export function leaseRows({ leases }: FleetReport, columns: number): string[] {
  const rows = leases
    .slice(0, MOST_ROWS)
    .map(({ bucket, permits, leases: count }) =>
      [bucket, String(permits), String(count)].map((text) => ({ text })),
    );
  return [...renderTable(LEASE_COLUMNS, rows, columns), ...hiddenRows(leases)];
}

function hiddenRows(rows: readonly unknown[]): string[] {
  return rows.length > MOST_ROWS ? [`… ${rows.length - MOST_ROWS} more`] : [];
}

function leadsText({ leads }: MemberReport): string {
  return leads.length === 0 ? '' : `● token ${leads.map(({ token }) => String(token)).join(', ')}`;
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
