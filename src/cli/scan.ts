import type { Command } from 'commander';

export function registerScan(_program: Command): void {}
