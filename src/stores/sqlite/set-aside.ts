import { existsSync, renameSync } from 'node:fs';

export type SetAsideReason = 'corrupt' | 'empty' | 'foreign' | 'newer' | 'orphan';

/** SQLite keeps a database in up to three files; they only make sense together. */
export const PARTS = ['', '-wal', '-shm'] as const;

/** Moves a database out of the way under a name that nobody has; returns that name. Nothing is deleted or overwritten. */
export function setAside(path: string, reason: SetAsideReason, wallMs: number): string {
  const stamp = new Date(wallMs).toISOString().replaceAll(/[-:.]/g, '');
  const wanted = `${path}.${reason}-${stamp}`;
  let target = wanted;
  for (let count = 2; isTaken(target); count += 1) target = `${wanted}-${String(count)}`;
  for (const part of PARTS) {
    if (existsSync(path + part)) renameSync(path + part, target + part);
  }
  return target;
}

function isTaken(path: string): boolean {
  return PARTS.some((part) => existsSync(path + part));
}
