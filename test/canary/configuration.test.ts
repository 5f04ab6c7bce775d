import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkContent } from '#keymux/config/file.js';
import { resolveConfiguration } from '#keymux/config/resolve.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { isTemplateValue } from '#keymux/providers/key-shape.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { makeCanary, makePlainCanary } from './canary.js';
import type { Canary } from './canary.js';
import { Sinks } from './sinks.js';
import { temporaryFolder } from './stage.js';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const EXAMPLES = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, text = '']) => parse(text) as unknown);

type Path = readonly (string | number)[];

/** Every place in a content: of a value, of an entry, of a name. */
function placesIn(content: unknown, path: Path = []): Path[] {
  if (typeof content !== 'object' || content === null) return [path];
  return [path, ...Object.entries(content).flatMap(([name, value]) => placesIn(value, [...path, name]))];
}

function withValueAt(content: unknown, [step, ...rest]: Path, value: unknown): unknown {
  if (step === undefined) return value;
  const copy = (Array.isArray(content) ? [...(content as unknown[])] : { ...(content as object) }) as Record<
    string | number,
    unknown
  >;
  copy[step] = withValueAt(copy[step], rest, value);
  return copy;
}

/** The name at the end of the path is another one. */
function withNameAt(content: unknown, path: Path, name: string): unknown {
  const parent = path.slice(0, -1);
  const at = parent.reduce<unknown>(
    (value, step) => (value as Record<string | number, unknown>)[step],
    content,
  );
  const entries = Object.entries(at as object).map(([each, value]) => [
    each === path.at(-1) ? name : each,
    value,
  ]);
  return withValueAt(content, parent, Object.fromEntries(entries));
}

/** What people do with a key that belongs elsewhere. */
const MISTAKES: Readonly<Record<string, (key: string) => unknown>> = {
  'the key itself': (key) => key,
  'the key behind env:': (key) => `env:${key}`,
  'the key behind vault:': (key) => `vault:${key}`,
  'a command with the key': (key) => `exec:/nonexistent/tool --token ${key}`,
  'an address with the key as its user': (key) => `https://user:${encodeURIComponent(key)}@a.example/`,
  'an address with the key in its query': (key) => `https://a.example/?key=${encodeURIComponent(key)}`,
  'the address of a Redis with the key': (key) => `redis://:${encodeURIComponent(key)}@127.0.0.1:9/x`,
  'a list of the key': (key) => [key, key],
  'an option of that name': (key) => ({ [key]: 1 }),
  'a header': (key) => `Authorization: Bearer ${key}`,
  'an assignment': (key) => `ACME_API_KEY=${key}`,
};

function read(sinks: Sinks, place: string, content: unknown, folder: string): 'accepted' | 'refused' {
  try {
    const file = checkContent(content, { name: 'keymux.config.yaml', folder, catalogue });
    const { notes } = resolveConfiguration({
      env: {},
      cwd: folder,
      home: folder,
      catalogue,
      isTemplateValue,
      file,
    });
    sinks.addValue(`${place}: notes`, notes);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    sinks.add(`${place}: message`, `${error.message}\n${error.fix}\n${String(error.stack)}`);
    return 'refused';
  }
}

describe.each<[string, (name: string) => Canary]>([
  ['with signs', makeCanary],
  ['of letters and digits', (name) => ({ name, text: makePlainCanary(name).text.slice(3) })],
])('a key %s in the wrong place of a configuration', (_kind, make) => {
  const canary = make('misplaced');

  it.each(Object.keys(MISTAKES))('is in no message: %s', (mistake) => {
    const sinks = new Sinks();
    const folder = temporaryFolder();
    const value = MISTAKES[mistake]?.(canary.text);
    let refused = 0;
    for (const [index, example] of EXAMPLES.entries())
      for (const path of placesIn(example)) {
        const end = read(sinks, `${index} ${path.join('.')}`, withValueAt(example, path, value), folder);
        if (end === 'refused') refused += 1;
      }
    expect(refused).toBeGreaterThan(100);
    sinks.expectNone([canary], /message$/);
  });

  it('is in no message where it stands for the name of an option', () => {
    const sinks = new Sinks();
    const folder = temporaryFolder();
    for (const [index, example] of EXAMPLES.entries())
      for (const path of placesIn(example).filter(
        (each) => typeof each.at(-1) === 'string' && !/^\d+$/.test(String(each.at(-1))),
      ))
        read(sinks, `${index} ${path.join('.')}`, withNameAt(example, path, canary.text), folder);
    sinks.expectNone([canary], /message$/);
  });
});
