/** Takes variables out of the text of a `.env` file. */
import { parseEnv } from 'node:util';

/**
 * The text without these variables; comments and all other lines stay as they are. Undefined where the rest would not
 * read as before, as with values over several lines that look like assignments.
 */
export function withoutVariables(text: string, names: ReadonlySet<string>): string | undefined {
  const kept = text
    .split(/(?<=\n)/)
    .filter((line) => {
      const name = /^\uFEFF?\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=/.exec(line)?.[1];
      return name === undefined || !names.has(name);
    })
    .join('');
  const wanted = Object.entries(entriesOf(text)).filter(([name]) => !names.has(name));
  const found = Object.entries(entriesOf(kept));
  return JSON.stringify(wanted.sort()) === JSON.stringify(found.sort()) ? kept : undefined;
}

function entriesOf(text: string): NodeJS.Dict<string> {
  return parseEnv(text.replace(/^\uFEFF/, ''));
}

/** Lines of a `.env` file, quoted so that they read as the same values; undefined where one cannot be. */
export function envLine(name: string, value: string): string | undefined {
  const quoted = ['', "'", '"', '`'].map((quote) => `${name}=${quote}${value}${quote}`);
  return quoted.find((line) => {
    const entries = parseEnv(line);
    return entries[name] === value && Object.keys(entries).length === 1;
  });
}
