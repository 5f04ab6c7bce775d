// Programs in TypeScript that use the package, compiled as their authors would.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { npm, run } from './processes.mjs';

/** The versions of the compiler that users have; each comes from the registry, once. */
const COMPILERS = ['5.9.3', '7.0.2'];
const RESOLUTIONS = {
  // What TypeScript calls node16 cannot `require()` an ES module, which every supported Node can.
  node16: { module: 'node16', files: ['consumer.mts'] },
  nodenext: { module: 'nodenext', files: ['consumer.mts', 'consumer.cts'] },
  bundler: { module: 'esnext', files: ['consumer.ts'] },
};

async function installCompiler(root, version) {
  const folder = join(root, '.tmp', `typescript-${version}`);
  const compiler = join(folder, 'node_modules/typescript/bin/tsc');
  if (existsSync(compiler)) return compiler;
  mkdirSync(folder, { recursive: true });
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  await npm(['install', '--prefix', folder, '--no-save', ...quiet, `typescript@${version}`], folder);
  return compiler;
}

/** Programs that name everything that `specifiers` offer, in `folder`; returns the checks as `[title, check]`. */
export function compilations({ root, folder, specifiers }) {
  const names = specifiers.map((specifier, index) => `import * as entry${index} from '${specifier}';`);
  const uses = specifiers.map((_, index) => `export type Entry${index} = keyof typeof entry${index};`);
  for (const suffix of ['ts', 'mts', 'cts'])
    writeFileSync(join(folder, `consumer.${suffix}`), [...names, ...uses].join('\n'));
  for (const [moduleResolution, { module, files }] of Object.entries(RESOLUTIONS)) {
    const compilerOptions = {
      module,
      moduleResolution,
      target: 'es2022',
      lib: ['es2022', 'esnext.disposable'],
      strict: true,
      noEmit: true,
      // Declarations are checked too, with the types of Node that the package is built with.
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    };
    writeFileSync(configurationOf(folder, moduleResolution), JSON.stringify({ compilerOptions, files }));
  }
  return COMPILERS.flatMap((version) => {
    const installed = installCompiler(root, version);
    // Who awaits it is told; until then it must not end the process.
    installed.catch(() => {});
    return Object.keys(RESOLUTIONS).map((resolution) => [
      `TypeScript ${version} compiles with ${resolution}`,
      async () =>
        run(process.execPath, [await installed, '-p', configurationOf(folder, resolution)], { cwd: folder }),
    ]);
  });
}

function configurationOf(folder, resolution) {
  return join(folder, `tsconfig.${resolution}.json`);
}
