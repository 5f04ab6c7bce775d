// Writes docs/providers.md from the built catalogue. `--check` writes nothing and exits with 1 if the page is stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { catalogueFacts } from '../dist/providers/catalogue-facts.js';
import { catalogue } from '../dist/providers/catalogue.js';

const page = fileURLToPath(new URL('../docs/providers.md', import.meta.url));

const INTRODUCTION = `# Providers

Generated from \`src/providers/catalogue\` by \`node scripts/providers-doc.mjs\`; corrections go there.

Each of these works without configuration: set one of its variables. A key goes to the listed origins and nowhere
else. **Known limits are for orientation and are never enforced by themselves**, since only you know your tier: put the
ones that apply to you under \`limits\`. Facts marked *from memory* have no source yet.

The bucket says whose allowance a request spends. Several keys of one account, organization or project share one
bucket and add nothing; keymux is for keys that you are entitled to hold, so read the terms before you pool.

Providers of one protocol can stand in for each other in a service. A request that *may be repeated* only computes an
answer: it is sent again even after a failure that does not tell whether it was carried out.
`;

const code = (text) => `\`${text}\``;
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const prose = (text) => text.replaceAll('<', '&lt;').replaceAll('*', '\\*');
const row = (name, text) => (text ? [`| ${name} | ${cell(text)} |`] : []);
const list = (title, items) =>
  items.length > 0 ? [`${title}:`, '', ...items.map((item) => `- ${item}`), ''] : [];

function placement(auth) {
  switch (auth.in) {
    case 'header':
      return `header ${code(auth.scheme ? `${auth.name}: ${auth.scheme} …` : auth.name)}`;
    case 'query':
      return `query ${code(auth.name)}`;
    case 'path':
      return 'path';
    case 'basic':
      return `basic authentication, ${auth.field}`;
    default:
      throw new Error(`No words for a key in ${auth.in}.`);
  }
}

function limit({ tier, requests, amount, per, asOf }) {
  const size = requests === undefined ? amount : `${requests.toLocaleString('en-US')} requests`;
  return prose(`${tier}: ${size} / ${per}${asOf === null ? ' (*)' : ` (${asOf})`}`).replace(
    '(\\*)',
    '(*from memory*)',
  );
}

function origins(entry) {
  if (entry.originPattern !== undefined) return `${code(entry.originPattern)}: yours, set as \`baseUrl\``;
  return entry.origins.map(code).join(', ');
}

function probeText({ method = 'GET', path, costsQuota = 'unknown', authenticated = true }) {
  const cost = { no: 'costs nothing', yes: 'costs a request', unknown: 'may cost a request' }[costsQuota];
  return `${code(`${method} ${path}`)} (${authenticated ? cost : 'without a key'})`;
}

const source = (text) => (text.startsWith('https://') ? text.replace(/^\S+/, '<$&>') : prose(text));

function section(entry) {
  const { reset, probe, pairedEnv = [], companionHeaders = {} } = entry;
  const { protocol, repeatable = [], streamEndMark } = entry;
  const facts = catalogueFacts.get(entry.id);
  return [
    `## ${entry.name}`,
    '',
    `| ${code(entry.id)} | |`,
    '|---|---|',
    ...row('environment', entry.env.map(code).join(', ')),
    ...row('pair, left alone', pairedEnv.map(code).join(', ')),
    ...row('origins', origins(entry)),
    ...row(
      'key',
      entry.signed ? 'signed or bound to a session: never replaced in a request' : placement(entry.auth),
    ),
    ...row('key, also', entry.authAlternatives.map(placement).join(', ')),
    ...row(
      'also needed',
      Object.entries(companionHeaders)
        .map((pair) => code(pair.join(': ')))
        .join(', '),
    ),
    ...row(
      'bucket',
      entry.ownerHeader ? `${entry.bucketScope}, named by ${code(entry.ownerHeader)}` : entry.bucketScope,
    ),
    ...row('known limits', facts.knownLimits.map(limit).join('; ')),
    ...row('reset', reset && `${reset.at} ${reset.timeZone}`),
    ...row('probe', probe && probeText(probe)),
    ...row(
      'protocol',
      protocol &&
        `${protocol.name}, under ${protocol.pathPrefix === '' ? 'no prefix' : code(protocol.pathPrefix)}`,
    ),
    ...row('may be repeated', repeatable.map(code).join(', ')),
    ...row('end of a stream', streamEndMark && code(streamEndMark)),
    ...row('several keys', prose(facts.poolTerms ?? 'Nothing found, which is no permission.')),
    '',
    ...list('Notes', facts.notes.map(prose)),
    ...list('Sources', facts.sources.map(source)),
    ...list('*From memory*', facts.fromMemory.map(prose)),
  ].join('\n');
}

const sections = [...catalogue.values()].sort((a, b) => a.name.localeCompare(b.name, 'en')).map(section);
const text = `${INTRODUCTION}\n${sections.join('\n')}`;

if (!process.argv.includes('--check')) {
  writeFileSync(page, text);
} else if (!existsSync(page) || readFileSync(page, 'utf8') !== text) {
  console.error('docs/providers.md is stale. Run: node scripts/providers-doc.mjs');
  process.exitCode = 1;
}
