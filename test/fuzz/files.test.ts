import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { parseDecisions } from '#keymux/cli/decision-file.js';
import { policyChangeOf } from '#keymux/cli/replay-policy.js';
import { readEnvironment } from '#keymux/config/environment.js';
import { checkContent } from '#keymux/config/file.js';
import { invalidFile } from '#keymux/config/problems.js';
import { readReference, splitWords } from '#keymux/config/reference.js';
import { resolveConfiguration } from '#keymux/config/resolve.js';
import { parseSource } from '#keymux/config/source-text.js';
import { replay } from '#keymux/core/replay.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { isTemplateValue } from '#keymux/providers/key-shape.js';
import { afterAll, describe, expect, it } from 'vitest';
import { POLLUTING, SECRET, anyText, hostileJson, mixOf, soundly, watchPrototypes } from './soundness.js';

watchPrototypes();

const folder = mkdtempSync(join(tmpdir(), 'keymux-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const FORMATS = ['yaml', 'json', 'jsonc'] as const;

function configure(text: string, format: (typeof FORMATS)[number]): 'read' | 'refused' {
  const configuration = soundly(() => {
    const { value, problems, positionOf } = parseSource(text, format);
    if (problems.length > 0) throw invalidFile('keymux.config', problems, positionOf);
    const file = checkContent(value, { name: 'keymux.config', folder, catalogue });
    return resolveConfiguration({ env: {}, cwd: folder, home: folder, catalogue, isTemplateValue, file });
  });
  return configuration === undefined ? 'refused' : 'read';
}

/** Texts that are small and would become large, deep, or something else than data. */
const BOMBS: Readonly<Record<string, string>> = {
  'aliases of aliases': [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...[...'bcdefghij'].map(
      (name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[at]!}`).join(',')}]`,
    ),
  ].join('\n'),
  'an alias of itself': 'a: &a [*a]\n',
  'a merge of itself': 'a: &a\n  <<: *a\n',
  'merges of merges': Array.from(
    { length: 200 },
    (_, at) => `m${at}: &m${at}\n  ${at === 0 ? 'a: 1' : `<<: [*m${at - 1}, *m${at - 1}]`}`,
  ).join('\n'),
  'many open lists': '['.repeat(50_000),
  'many open maps': '{"a":'.repeat(30_000),
  'many open maps of YAML': Array.from({ length: 3_000 }, (_, at) => `${' '.repeat(at)}a:`).join('\n'),
  'many dashes': '- '.repeat(20_000),
  'a long number': `providers: {acme: {baseUrl: ${'9'.repeat(100_000)}}}`,
  'numbers out of reach':
    '{"providers":{"acme":{"limits":[{"requests":1e999,"per":"day"},{"requests":-1e308,"perMs":1e400}]}}}',
  'a long name': `{"${'x'.repeat(1_000_000)}":1}`,
  'many names': `{${Array.from({ length: 52_000 }, (_, at) => `"a${at}":1`).join(',')}}`,
  'a name many times': `{${'"a":1,'.repeat(20_000)}"a":1}`,
  'a tag of a program': 'a: !!js/function "function () { globalThis.polluted = 1 }"\n',
  'a tag of a class': 'a: !!python/object/apply:os.system ["true"]\n',
  'a prototype': '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
  'a prototype among providers':
    'providers:\n  __proto__: { polluted: 1 }\n  constructor: { prototype: { polluted: 1 } }\n',
  'a prototype by a merge': 'a: &a { __proto__: { polluted: 1 } }\nproviders:\n  <<: *a\n',
  'a date and a binary': 'a: 2020-01-01\nb: !!binary aGVsbG8=\n',
  'many documents': '---\na: 1\n'.repeat(5_000),
  'a mark of order and zeros': '\uFEFF\0\0\0{',
  'broken letters of two': '{"a":"\uD800"}',
};

describe('a configuration file', () => {
  it.each(Object.keys(BOMBS))('is refused, in time, that holds %s', (name) => {
    for (const format of FORMATS) expect(configure(BOMBS[name] ?? '', format)).toBe('refused');
  });

  it.each(FORMATS)('of any text is read as %s or refused', (format) => {
    const pieces = [
      'providers',
      'services',
      'store',
      'acme',
      ': ',
      '\n',
      '  ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      '&a ',
      '*a',
      '<<',
      '!!x ',
      '# ',
      '//',
      '/*',
      ...POLLUTING,
    ];
    fc.assert(
      fc.property(fc.oneof(anyText, mixOf(...pieces)), (text) => void configure(text, format)),
      { numRuns: 600 },
    );
  });

  it('of any data is read or refused', () => {
    const content = fc.dictionary(
      fc.constantFrom('providers', 'services', 'store', 'alerts', 'vault', 'audit', ...POLLUTING),
      hostileJson,
    );
    fc.assert(
      fc.property(content, (value) => void configure(JSON.stringify(value), 'json')),
      { numRuns: 600 },
    );
  });
});

describe('an environment file', () => {
  it('of any text is read, and names of prototypes are names like others', () => {
    const line = mixOf(
      'A=',
      'ACME_API_KEY=',
      '"',
      "'",
      '`',
      '\n',
      '\r\n',
      '#',
      'export ',
      '\\n',
      '$A',
      '${A}',
      '=',
      ...POLLUTING,
    );
    fc.assert(
      fc.property(line, (text) => {
        writeFileSync(join(folder, '.env'), text);
        const { variables, notes } = soundly(() => readEnvironment({}, folder))!;
        for (const { value } of variables.values()) expect(typeof value).toBe('string');
        expect(notes.join()).not.toContain(SECRET);
      }),
      { numRuns: 400 },
    );
    writeFileSync(join(folder, '.env'), '__proto__=1\nconstructor=2\n');
    expect([...readEnvironment({}, folder).variables.keys()]).toContain('constructor');
    rmSync(join(folder, '.env'));
  });
});

describe('a reference', () => {
  const environment = { variables: new Map(), sources: [], notes: [] };
  const context = { environment, folder, keyId: 'acme/main', isTemplateValue: () => false };

  it('of any text gives a key or is refused, and nothing of it is run but what it names', () => {
    // No kind that starts a program: what stands there would be run.
    const text = mixOf('env:', 'file:', 'vault:', 'ENV:', ':', '/', '..', 'NAME', '\0', ' ', ...POLLUTING);
    fc.assert(
      fc.property(
        text
          .filter((each) => !each.startsWith('exec:'))
          .filter((each) => !each.startsWith('file:') || !each.includes(SECRET)),
        (reference) => void soundly(() => readReference(reference, context)),
      ),
      { numRuns: 500 },
    );
  });

  it('to a command is split as it was quoted', () => {
    const word = fc.string({ minLength: 1 });
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 6 }),
        fc.infiniteStream(fc.nat(2)),
        (words, ways) => {
          const quoted = words.map((each) => {
            const way = ways.next().value;
            if (way === 0 && !each.includes("'")) return `'${each}'`;
            if (way === 1) return `"${each.replaceAll(/["\\]/g, '\\$&')}"`;
            return each.replaceAll(/[^]/g, '\\$&');
          });
          expect(splitWords(quoted.join(' '))).toEqual(words);
        },
      ),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(mixOf('"', "'", '\\', ' ', '\n', 'a'), (text) => void soundly(() => splitWords(text))),
      { numRuns: 500 },
    );
  });
});

describe('a file of decisions', () => {
  const number = fc.oneof(fc.constantFrom(0, 1, -1, 0.5, 1e308, Number.MAX_SAFE_INTEGER), fc.nat());
  const name = fc.constantFrom('data', 'acme/main', 'acme', 'acme/2', ...POLLUTING);
  const candidate = fc.record({
    key: name,
    provider: name,
    chosen: fc.boolean(),
    because: fc.constantFrom('chosen', 'cooldown', 'x'),
    figures: fc.record({
      priority: number,
      weight: fc.constantFrom(0.5, 1, 1e308),
      uses: number,
      inFlight: number,
      latencyMs: number,
    }),
  });
  const decision = fc.record(
    {
      id: number,
      requestId: name,
      service: name,
      strategy: fc.constantFrom(
        'priority',
        'round-robin',
        'weighted',
        'least-used',
        'lowest-latency',
        'most-remaining',
      ),
      failoverThreshold: number,
      attempt: number,
      at: number,
      waitedMs: number,
      candidates: fc.array(candidate, { maxLength: 3 }),
      outcome: fc.record({ kind: fc.constantFrom('success', 'rejected', ...POLLUTING), latencyMs: number }),
    },
    {
      requiredKeys: [
        'id',
        'requestId',
        'service',
        'strategy',
        'failoverThreshold',
        'attempt',
        'at',
        'waitedMs',
        'candidates',
      ],
    },
  );
  const request = fc.record({
    requestId: name,
    service: name,
    at: number,
    waitedMs: number,
    complete: fc.boolean(),
    attempts: fc.array(decision, { minLength: 1, maxLength: 3 }),
  });
  const record = fc.record({
    format: fc.constant('keymux-decisions'),
    version: fc.constant(1),
    at: number,
    forgotten: number,
    maxAttempts: fc.dictionary(name, number),
    requests: fc.array(request, { maxLength: 4 }),
  });

  it('of any data is refused, or replayed under another policy', () => {
    let replayed = 0;
    fc.assert(
      fc.property(
        fc.oneof({ weight: 4, arbitrary: record }, hostileJson),
        mixOf(
          'services.data.strategy=',
          'providers.acme.keys.main.weight=',
          'round-robin',
          '=',
          '.',
          '1',
          ...POLLUTING,
        ),
        (content, setting) => {
          const parsed = soundly(() => parseDecisions(content, 'the file'));
          if (parsed === undefined) return;
          soundly(() => replay(parsed, policyChangeOf([], parsed), () => 0.5));
          soundly(() => replay(parsed, policyChangeOf([setting], parsed), () => 0.5));
          replayed += 1;
        },
      ),
      { numRuns: 500 },
    );
    expect(replayed).toBeGreaterThan(0);
  });
});
