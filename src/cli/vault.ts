import type { Command } from 'commander';

export function registerVault(_program: Command): void {}
