import { describe, expect, it } from 'vitest';
import { refusalsOf } from '../../scripts/package/release-rules.mjs';

const READY = {
  manifest: { name: 'keymux', version: '1.2.3', repository: { type: 'git', url: 'https://git.test/keymux' } },
  changelog: '# Changelog\n\n## [1.2.3] - 2026-11-24\n\n### Added\n',
  changedFiles: [],
  publishedVersions: ['1.2.2'],
  publishes: true,
  env: { CI: 'true', ACTIONS_ID_TOKEN_REQUEST_URL: 'https://token.test' },
};

describe('a release', () => {
  it('goes on from a clean tree, with a dated version, where a provenance can be signed', () => {
    expect(refusalsOf(READY)).toEqual([]);
    expect(refusalsOf({ ...READY, env: { CI: 'true', SIGSTORE_ID_TOKEN: 'token' } })).toEqual([]);
  });

  it.each([
    ['a tree with changes', { changedFiles: ['src/index.ts'] }, /dirty: .*src\/index\.ts/],
    ['a version that the changelog does not name', { changelog: '## [1.2.2] - 2026-11-01' }, /1\.2\.3/],
    ['a version that is not dated yet', { changelog: '## [1.2.3] - unreleased' }, /YYYY-MM-DD/],
    ['a version that is there already', { publishedVersions: ['1.2.2', '1.2.3'] }, /published already/],
    ['a private package', { manifest: { ...READY.manifest, private: true } }, /private/],
    ['a package without a repository', { manifest: { name: 'keymux', version: '1.2.3' } }, /repository/],
    ['a machine that is no CI', { env: { SIGSTORE_ID_TOKEN: 'token' } }, /in CI only/],
    ['a job without an id-token', { env: { CI: 'true' } }, /id-token/],
  ])('refuses %s', (_what, facts, refusal) => {
    const refusals = refusalsOf({ ...READY, ...facts });
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toMatch(refusal);
  });

  it('may be rehearsed anywhere', () => {
    expect(refusalsOf({ ...READY, publishes: false, env: {} })).toEqual([]);
  });
});
