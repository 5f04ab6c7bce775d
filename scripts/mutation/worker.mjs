// Runs bundled tests again and again in one thread; a fresh process for each of some hundred faults would take
// minutes. Tests are collected and run by vitest's own runner, with vitest's own matchers.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';

const requireHere = createRequire(workerData.root);
const requireFromVitest = createRequire(requireHere.resolve('vitest/package.json'));
const load = (name) => import(pathToFileURL(requireFromVitest.resolve(name)).href);

const runnerApi = await load('@vitest/runner');
const vitestShim = { ...runnerApi, expect: await createExpect() };

/** The same chances for each fault, and no search for the smallest counterexample. */
requireHere('fast-check').configureGlobal({ seed: 1, endOnFailure: true });

async function createExpect() {
  const [matchers, chai] = await Promise.all([load('@vitest/expect'), load('chai')]);
  for (const plugin of ['JestExtend', 'JestChaiExpect', 'ChaiStyleAssertions', 'JestAsymmetricMatchers']) {
    chai.use(matchers[plugin]);
  }
  const expect = (value, message) => chai.expect(value, message).withTest(runnerApi.getCurrentTest());
  Object.assign(expect, chai.expect, globalThis[matchers.ASYMMETRIC_MATCHERS_OBJECT]);
  expect.extend = (added) => chai.expect.extend(expect, added);
  expect.unreachable = (message) => chai.assert.fail(message ?? 'reached what should be unreachable');
  matchers.setState({ assertionCalls: 0 }, expect);
  Object.defineProperty(globalThis, matchers.GLOBAL_EXPECT, {
    value: expect,
    writable: true,
    configurable: true,
  });
  return expect;
}

function evaluate(code) {
  const requireForTests = (name) => (name === 'vitest' ? vitestShim : requireHere(name));
  const module = { exports: {} };
  new Function('require', 'module', 'exports', code)(requireForTests, module, module.exports);
}

class BailingRunner {
  config = {
    root: workerData.root,
    setupFiles: [],
    name: '',
    passWithNoTests: false,
    allowOnly: false,
    sequence: { seed: 1, hooks: 'stack', setupFiles: 'list' },
    maxConcurrency: 1,
    testTimeout: workerData.timeoutMs,
    hookTimeout: workerData.timeoutMs,
    retry: 0,
    tags: [],
    strictTags: false,
  };
  passed = 0;
  killer;

  constructor(code) {
    this.code = code;
  }

  importFile(_path, kind) {
    if (kind === 'collect') evaluate(this.code);
  }

  onBeforeRunTask(task) {
    if (this.killer !== undefined) task.mode = 'skip';
  }

  onAfterRunTask(task) {
    if (task.result?.state === 'fail')
      this.killer ??= `${task.name}: ${task.result.errors?.[0]?.message ?? ''}`;
    if (task.result?.state === 'pass') this.passed += 1;
  }
}

parentPort.on('message', async (code) => {
  const runner = new BailingRunner(code);
  try {
    const [file] = await runnerApi.startTests([workerData.root], runner);
    if (file.result?.state === 'fail') runner.killer ??= file.result.errors?.[0]?.message ?? 'failed';
  } catch (error) {
    runner.killer ??= String(error);
  }
  parentPort.postMessage({ passed: runner.passed, killer: runner.killer });
});
parentPort.postMessage('ready');
