// What stands in the way of a release; decided from facts alone.

/** What npm signs a provenance with: GitHub Actions with `id-token: write`, or GitLab with an `id_tokens` entry. */
const IDENTITY_TOKENS = ['ACTIONS_ID_TOKEN_REQUEST_URL', 'SIGSTORE_ID_TOKEN'];

/**
 * In words, each with what to do; none where the release may go on.
 * @param {{
 *   manifest: { name: string, version: string, private?: boolean, repository?: unknown },
 *   changelog: string,
 *   changedFiles: readonly string[],
 *   publishedVersions: readonly string[],
 *   publishes: boolean,
 *   env: Readonly<Record<string, string | undefined>>,
 * }} facts `changedFiles`: what differs from the commit. `publishes`: it is not a dry run.
 */
export function refusalsOf({ manifest, changelog, changedFiles, publishedVersions, publishes, env }) {
  const { name, version, repository } = manifest;
  const refusals = [];
  if (changedFiles.length > 0)
    refusals.push(`The tree is dirty: commit or remove ${changedFiles.slice(0, 5).join(', ')}.`);
  if (!isNamed(changelog, version))
    refusals.push(
      `CHANGELOG.md names no day for ${version}: give it a heading "## [${version}] - YYYY-MM-DD".`,
    );
  if (publishedVersions.includes(version))
    refusals.push(`${name}@${version} is published already: raise the version in package.json.`);
  if (manifest.private === true) refusals.push('package.json says private: take that out.');
  if (repository === undefined)
    refusals.push('package.json names no repository: a provenance is checked against it.');
  if (publishes && (env.CI === undefined || !IDENTITY_TOKENS.some((token) => env[token] !== undefined)))
    refusals.push('A provenance is signed in CI only: run this in a job that may ask for an id-token.');
  return refusals;
}

function isNamed(changelog, version) {
  const headings = changelog.split('\n').filter((line) => line.startsWith(`## [${version}]`));
  return headings.some((line) => /^## \[[^\]]+\] - \d{4}-\d{2}-\d{2}$/.test(line.trimEnd()));
}
