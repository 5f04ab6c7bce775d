/** Reads Prometheus' text format 0.0.4 as strictly as its documentation has it; any fault throws. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;

export class Exposition {
  readonly families: ReadonlyMap<string, Family>;

  constructor(text: string) {
    if (!text.endsWith('\n')) throw new Error('the last line does not end');
    const families = new Map<string, Family & { samples: Sample[] }>();
    let help: [string, string] | undefined;
    let family: (Family & { samples: Sample[] }) | undefined;
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const [, word, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
      if (word === 'HELP') help = [name, rest];
      else if (word === 'TYPE') {
        if (help?.[0] !== name) throw new Error(`${name} has no help`);
        if (families.has(name)) throw new Error(`${name} is told twice`);
        family = { name, type: rest, help: help[1], samples: [] };
        families.set(name, family);
      } else add(family, parse(line));
    }
    this.families = families;
    for (const each of families.values()) check(each);
  }

  /** The sum of all samples of this name that have these labels. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.all(name, labels).reduce((total, { value }) => total + value, 0);
  }

  all(name: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] {
    return [...this.families.values()]
      .flatMap(({ samples }) => samples)
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value));
  }

  /** The one sample of this name with these labels. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const [sample, ...more] = this.all(name, labels);
    if (sample === undefined || more.length > 0) throw new Error(`${name}: ${more.length + 1} samples`);
    return sample.value;
  }
}

function parse(line: string): Sample {
  const [whole, name = '', inner = '', value = ''] = SAMPLE.exec(line) ?? [];
  if (whole === undefined || Number.isNaN(Number(value.replace('+Inf', 'Infinity'))))
    throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  for (let rest = inner; rest !== '';) {
    const [all, label, text] = LABEL.exec(rest) ?? [];
    if (all === undefined || label === undefined || text === undefined) throw new Error(`no label: ${line}`);
    if (label in labels) throw new Error(`a label twice: ${line}`);
    labels[label] = text;
    rest = rest.slice(all.length);
  }
  return { name, labels, value: Number(value) };
}

function add(family: (Family & { samples: Sample[] }) | undefined, sample: Sample): void {
  const suffix = family === undefined ? undefined : sample.name.slice(family.name.length);
  const allowed = family?.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
  if (family === undefined || !sample.name.startsWith(family.name) || !allowed.includes(suffix ?? '?'))
    throw new Error(`${sample.name} stands in the wrong place`);
  family.samples.push(sample);
}

function check({ name, type, samples }: Family): void {
  const ids = samples.map(
    (sample) => `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`,
  );
  if (new Set(ids).size !== ids.length) throw new Error(`${name} has a sample twice`);
  if (type !== 'histogram') return;
  const counts = new Map<string, number>();
  for (const { name: each, labels, value } of samples) {
    const { le, ...others } = labels;
    const series = JSON.stringify(Object.entries(others).sort());
    if (each.endsWith('_sum')) continue;
    const before = counts.get(series) ?? 0;
    if (value < before) throw new Error(`${name} sinks at ${le ?? 'its count'}`);
    if (each.endsWith('_count') && value !== before) throw new Error(`${name} has more than its last bucket`);
    counts.set(series, value);
  }
}
