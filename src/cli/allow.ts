import type { Command } from 'commander';

export function registerAllow(_program: Command): void {}
