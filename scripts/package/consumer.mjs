// An empty project that installs the tarball and uses it, as users do.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { npm, run } from './processes.mjs';

const PROGRAM = fileURLToPath(new URL('first-requests.mjs', import.meta.url));

/** The project in `folder`, which is made for it. */
export async function installInto(folder, tarball) {
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "name": "consumer", "private": true }\n');
  copyFileSync(PROGRAM, join(folder, 'first-requests.mjs'));
  await npm(['install', tarball, '--prefer-offline', '--no-audit', '--no-fund'], folder);
}

/** Nothing that was installed runs a script of its own when it is. */
export function requireNoInstallScripts(folder) {
  const { packages } = JSON.parse(readFileSync(join(folder, 'node_modules/.package-lock.json'), 'utf8'));
  const names = Object.keys(packages).filter((name) => packages[name].hasInstallScript === true);
  if (names.length > 0) throw new Error(`run scripts when they are installed: ${names.join(', ')}`);
}

/** A module that offers nothing is no entry point; `register` is there for what it does. */
function isOffered(specifier) {
  return specifier.endsWith('/register')
    ? ''
    : 'if (Object.keys(loaded).length === 0) throw new Error("exports nothing");';
}

/** What a Node must be able to do with the package: `[title, check]` each. `name`: as the manifest has it. */
export function usesOf({ folder, node, name, specifiers, version, bins }) {
  const evaluate = (type, code) => run(node, [`--input-type=${type}`, '-e', code], { cwd: folder });
  const loads = specifiers.flatMap((specifier) => [
    [
      `import ${specifier}`,
      () => evaluate('module', `import * as loaded from '${specifier}';\n${isOffered(specifier)}`),
    ],
    [
      `require ${specifier}`,
      () => evaluate('commonjs', `const loaded = require('${specifier}');\n${isOffered(specifier)}`),
    ],
  ]);
  const preloads = ['--import', '--require'].map((flag) => [
    `node ${flag} ${name}/register`,
    () => run(node, [flag, `${name}/register`, '-e', '0'], { cwd: folder, quiet: true }),
  ]);
  const commands = Object.entries(bins).map(([bin, path]) => [
    `${bin} --version`,
    async () => {
      const printed = await run(node, [join('node_modules', name, path), '--version'], { cwd: folder });
      if (printed.trim() !== version) throw new Error(`printed ${printed.trim()}, not ${version}`);
    },
  ]);
  const requests = [
    'requests go on with a key that works',
    () => run(node, ['first-requests.mjs'], { cwd: folder }),
  ];
  return [...loads, ...preloads, ...commands, requests];
}
