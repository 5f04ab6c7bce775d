import type { Configuration } from '../config/configuration.js';
import { keyIdOf } from '../core/credential.js';
import type { LabelledSecret, Redactor } from '../core/redaction.js';
import { MIN_REDACTED_LENGTH, createRedactor } from '../core/redaction.js';
import { OUTPUTS, isRedacted } from './redacted-streams.js';
import { note, warn } from './terminal.js';

/** Every key that a configuration has, by name. */
export function secretsOf({ credentials }: Pick<Configuration, 'credentials'>): LabelledSecret[] {
  return credentials.map((credential) => ({
    text: credential.secret.reveal(),
    label: keyIdOf(credential),
  }));
}

/** For the output of a program that `run` starts. Says on stderr what it will not find. */
export function redactorOfRun(
  configuration: Configuration,
  others: readonly LabelledSecret[] = [],
): Redactor | undefined {
  const terminals = OUTPUTS.filter((output) => !isRedacted(output)).map((output) => NAMES[output]);
  if (terminals.length > 0) note(`--redact leaves ${terminals.join(' and ')} alone: that is a terminal`);
  if (terminals.length === OUTPUTS.length) return undefined;
  const redactor = createRedactor([...secretsOf(configuration), ...others]);
  if (redactor.left.length > 0)
    warn(
      `--redact leaves ${redactor.left.join(', ')} in the output.`,
      `A key has to have ${MIN_REDACTED_LENGTH} characters, all of them ASCII, to be told from other text.`,
    );
  return redactor;
}

const NAMES = { 1: 'stdout', 2: 'stderr' } as const;
