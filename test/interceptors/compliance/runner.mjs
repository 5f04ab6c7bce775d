/**
 * Runs the scenarios of one file, one after the other, and prints what each of them saw. argv: the file, the names of
 * the scenarios as JSON. `SITE` in the environment: the origins of the site, as JSON.
 */
import { pathToFileURL } from 'node:url';

const [, , file, names] = process.argv;
const site = JSON.parse(process.env.SITE);
const { scenarios } = await import(pathToFileURL(file).href);

/** Long enough for a busy machine; a client that hangs is a finding. */
const PATIENCE_MS = 8_000;

function normalized(text) {
  return String(text)
    .replaceAll(/127\.0\.0\.1:\d+/g, 'SITE')
    .replaceAll(/(local|remote)Port: \d+/g, '$1Port')
    .replaceAll(/Length: \d+ bytes/g, 'Length')
    .replaceAll(/\b[0-9A-F]{12,16}:error/g, 'THREAD:error')
    .replaceAll(/-{4,}[\w-]*\d{8,}[\w-]*/g, 'BOUNDARY');
}

/** What applications look at: class, code and words, down to the cause. */
export function describe(error) {
  if (error === null || typeof error !== 'object') return String(error);
  const { name, code, message, cause, errors } = error;
  const inner = cause === undefined ? '' : ` <- ${describe(cause)}`;
  const several = Array.isArray(errors) ? ` [${errors.map(describe).join('; ')}]` : '';
  return `${name} ${code ?? '-'} ${message}${several}${inner}`;
}

const results = {};
for (const name of JSON.parse(names)) {
  const lines = [];
  let isOver = false;
  const log = (...parts) => {
    if (!isOver)
      lines.push(
        normalized(parts.map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join(' ')),
      );
  };
  const key = process.env.CAPTURED_KEY;
  const context = { site, key, headers: (more = {}) => ({ 'x-api-key': key, ...more }), log, describe };
  let timer;
  const patience = new Promise((resolve) => {
    timer = setTimeout(() => resolve('hangs'), PATIENCE_MS);
  });
  try {
    const outcome = await Promise.race([scenarios[name].run(context), patience]);
    if (outcome === 'hangs') log('HANGS');
  } catch (error) {
    log('throws', describe(error));
  }
  clearTimeout(timer);
  // What comes late belongs to the scenario, too.
  await new Promise((resolve) => setTimeout(resolve, 10));
  isOver = true;
  results[name] = lines;
}
process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit(0));
