// Turns the raw V8 coverage of a test run into coverage of src/.
//
// A source file may have run in two forms: as its own module, and inside a CommonJS bundle. Each form is
// mapped back to src/ by itself and then added up position by position: left to one pass, a branch whose mapped
// columns differ between the forms would be listed twice, each time half covered.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { mergeScriptCovs } from '@bcoe/v8-coverage';
import { CoverageReport } from 'monocart-coverage-reports';

/** Percent of lines and of branches over all of src/ that must have run; the figure itself is not enough. */
const THRESHOLD = 95;

/** Files of src/ that are not counted, each with the reason. */
const EXCLUDED = new Map([]);

/** Every script of dist/ that ran, once, with its counts from all processes and threads added up. */
function readScripts(rawDir, dist) {
  const distUrl = pathToFileURL(dist).href + '/';
  const runs = new Map();
  for (const name of readdirSync(rawDir)) {
    if (!name.endsWith('.json')) continue;
    let raw;
    try {
      raw = JSON.parse(readFileSync(join(rawDir, name), 'utf8'));
    } catch {
      // A process that was killed while it wrote left half a file.
      continue;
    }
    for (const { url, functions } of raw.result) {
      const file = url.replace(/[?#].*$/, '');
      if (!file.startsWith(distUrl)) continue;
      if (!runs.has(file)) runs.set(file, []);
      runs.get(file).push({ scriptId: '0', url: file, functions });
    }
  }
  return [...runs]
    .filter(([url]) => existsSync(fileURLToPath(url)))
    .map(([, ofUrl]) => mergeScriptCovs(ofUrl));
}

/** An entry for each module that nothing loaded, so that it counts as not covered. */
function unloadedScripts(dist, scripts) {
  const loaded = new Set(scripts.map((script) => script.url));
  return (
    readdirSync(dist, { recursive: true })
      // What was not compiled is for browsers (the dashboard's page), in which this does not count.
      .filter((name) => name.endsWith('.js') && existsSync(join(dist, `${name}.map`)))
      .map((name) => pathToFileURL(join(dist, name)).href)
      .filter((url) => !loaded.has(url))
      .map((url) => ({ url, functions: [wholeFile(url, 0)] }))
  );
}

function wholeFile(url, count) {
  const endOffset = readFileSync(fileURLToPath(url), 'utf8').length;
  return { functionName: '', isBlockCoverage: true, ranges: [{ startOffset: 0, endOffset, count }] };
}

function withSource(script) {
  const file = fileURLToPath(script.url);
  return {
    ...script,
    source: readFileSync(file, 'utf8'),
    sourceMap: existsSync(`${file}.map`) ? JSON.parse(readFileSync(`${file}.map`, 'utf8')) : undefined,
  };
}

/** Istanbul coverage by path relative to the root, for scripts of one form. */
async function toIstanbul(scripts, root, outputDir) {
  if (scripts.length === 0) return {};
  const report = new CoverageReport({
    outputDir,
    baseDir: root,
    reports: ['json'],
    logging: 'error',
    sourceFilter: (path) => path.endsWith('.ts'),
    sourcePath: (path) => path.replace(/^.*?(?=src\/)/, ''),
  });
  await report.add(scripts.map(withSource));
  await report.generate();
  const coverage = JSON.parse(readFileSync(join(outputDir, 'coverage-final.json'), 'utf8'));
  rmSync(outputDir, { recursive: true, force: true });
  return coverage;
}

/** Adds what ran in the bundle to what ran as modules. */
function mergeForms(modules, bundled) {
  const merged = { ...bundled, ...modules };
  for (const [path, file] of Object.entries(modules)) {
    const other = bundled[path];
    if (other === undefined) continue;
    addCounts(file.statementMap, file.s, other.statementMap, other.s, (statement) => statement);
    addCounts(file.fnMap, file.f, other.fnMap, other.f, (fn) => fn.decl);
    addCounts(file.branchMap, file.b, other.branchMap, other.b, (branch) => branch.loc);
  }
  return merged;
}

/**
 * The two forms agree in lines but not in columns (`export class A` against `var A = class`). So the n-th item that
 * starts on a line is the same in both, if as many start there; else those that end at the same place are.
 */
function addCounts(map, counts, otherMap, otherCounts, place) {
  const otherByLine = groupByLine(otherMap, place);
  for (const [line, ids] of Object.entries(groupByLine(map, place))) {
    const others = otherByLine[line] ?? [];
    for (const [index, id] of ids.entries()) {
      const twin =
        others.length === ids.length
          ? others[index]
          : others.find((other) => samePlace(place(otherMap[other]).end, place(map[id]).end));
      if (twin !== undefined && otherMap[twin].type === map[id].type) {
        counts[id] = sum(counts[id], otherCounts[twin]);
      }
    }
  }
}

function groupByLine(map, place) {
  const groups = {};
  for (const id of Object.keys(map)) (groups[place(map[id]).start.line] ??= []).push(id);
  return groups;
}

function samePlace(a, b) {
  return a.line === b.line && a.column === b.column;
}

function sum(a, b) {
  if (!Array.isArray(a)) return a + b;
  return a.length === b.length ? a.map((count, index) => count + b[index]) : a;
}

/** Coverage of src/ by all forms together. */
async function coverSources(root, rawDir, workDir) {
  const dist = join(root, 'dist');
  const scripts = readScripts(rawDir, dist);
  const modules = scripts.filter((script) => !script.url.endsWith('.cjs'));
  let merged = await toIstanbul(modules, root, workDir);
  for (const bundle of scripts.filter((script) => script.url.endsWith('.cjs'))) {
    merged = mergeForms(merged, await toIstanbul([bundle], root, workDir));
  }
  return { ...(await toIstanbul(unloadedScripts(dist, scripts), root, workDir)), ...merged };
}

/**
 * Prints the summary and, as a table, the lines that did not run; writes lcov; tells whether the thresholds are met.
 * `rawDir` is the folder that NODE_V8_COVERAGE named.
 */
export async function reportCoverage({ root, rawDir, outputDir, enforce, table = true }) {
  const merged = await coverSources(root, rawDir, join(outputDir, 'form'));
  for (const path of EXCLUDED.keys()) delete merged[path];

  const report = new CoverageReport({
    name: 'Coverage of src/',
    outputDir,
    baseDir: root,
    clean: false,
    logging: 'error',
    reports: [...(table ? [['text', { skipFull: true }]] : []), 'lcovonly'],
  });
  await report.add(merged);
  const { summary } = await report.generate();
  const missed = ['lines', 'branches'].filter((kind) => !(summary[kind].pct > THRESHOLD));
  for (const kind of ['lines', 'branches']) {
    const { covered, total, pct } = summary[kind];
    console.log(`Coverage of ${kind}: ${pct} % (${covered} of ${total})`);
  }
  if (missed.length === 0 || !enforce) return true;
  console.error(`Coverage of ${missed.join(' and ')} is not above ${THRESHOLD} %.`);
  return false;
}
