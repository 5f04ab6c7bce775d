/** The command line on keys that are canaries. */
import { keymuxHere } from '../cli/keymux-here.js';
import { Project } from '../cli/keymux-process.js';
import type { Result } from '../cli/keymux-process.js';
import { makeCanary, makePlainCanary } from './canary.js';
import type { Canary } from './canary.js';
import { Sinks } from './sinks.js';
import { refusing, startProvider } from './stage.js';

export interface Staged {
  readonly project: Project;
  readonly sinks: Sinks;
  readonly canaries: readonly Canary[];
  /** Pasted where no key belongs. */
  readonly typed: Canary;
  readonly plain: Canary;
  /**
   * Runs to the end, with this on stdin; everything it says is kept. Resolves with the exit code. What starts programs or
   * serves runs in a process of its own, the rest in this one.
   */
  run(
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
    input?: string,
  ): Promise<number | null>;
}

/** Of the built package, for programs. */
const MODULES = {
  KEYMUX_INDEX: import.meta.resolve('#keymux/index.js'),
  KEYMUX_ALERTS: import.meta.resolve('#keymux/alerts.js'),
};

/** `vault:` and the like come behind the rest of the configuration; `keys` is the list of keys of `acme`. */
export async function stage(more = '', keys = ''): Promise<Staged> {
  const [bad, good] = [makeCanary('bad'), makeCanary('good')];
  const [typed, plain] = [makeCanary('typed'), makePlainCanary('plain')];
  const provider = await startProvider(refusing(bad, 401));
  const config = `
services:
  data: { providers: [acme] }
providers:
  acme:
    baseUrl: ${provider.origin}
    auth: { in: header, name: x-api-key }
    limits: [{ requests: 5, per: hour }]
${keys}store: { type: sqlite, path: ./store/state.db }
${more}`;
  const files = { 'keymux.config.yaml': config, '.env': `ACME_API_KEY='${bad.text}'\n` };
  const project = new Project(files, { ACME_API_KEY_2: good.text, ACME_URL: provider.origin, ...MODULES });
  const sinks = new Sinks();
  return {
    project,
    sinks,
    canaries: [bad, good],
    typed,
    plain,
    run: async (args, env = {}, input = '') => {
      const isHere = args[0] !== 'run' && args[0] !== 'serve';
      const { code, stdout, stderr } = isHere
        ? await keymuxHere(project, args, { env, input })
        : await inProcess(project, args, env, input);
      const place = `keymux ${args.join(' ')}`
        .replaceAll(typed.text, '<typed>')
        .replaceAll(plain.text, '<plain>');
      sinks.add(`${place}: stdout`, stdout);
      sinks.add(`${place}: stderr`, stderr);
      return code;
    },
  };
}

async function inProcess(
  project: Project,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input: string,
): Promise<Result> {
  const running = project.start(args, env);
  running.process.stdin?.end(input);
  return running.ended;
}

/** A program as anybody would write it. */
export const ASK = `fetch(process.env.ACME_URL + '/v1/x', { headers: { 'x-api-key': process.env.ACME_API_KEY } })
  .then(async (answer) => console.log(answer.status, await answer.text()))`;

/** As `ASK`; and learns what is usual, which it keeps when it ends. */
export const LEARN = `Promise.all([import(process.env.KEYMUX_INDEX), import(process.env.KEYMUX_ALERTS)])
  .then(async ([{ MinimalMultiKeyManager }, { watchAnomalies }]) => {
    const detection = watchAnomalies(MinimalMultiKeyManager.instance());
    await ${ASK};
    await detection.stop();
  })`;
