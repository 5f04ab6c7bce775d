import { KeymuxError } from '../../core/errors.js';

/** How the keys of one fleet are called. All keys of one script carry one hash tag, so that a cluster keeps them together. */
export interface Names {
  /** In the order that the fleet's scripts expect. */
  readonly fleet: readonly string[];
  readonly channel: string;
  bucket(name: string): string;
}

const PREFIX = /^[A-Za-z0-9._:/-]{1,64}$/;
const OF_THE_FLEET = [
  'fleet',
  'health',
  'changes',
  'usage',
  'members',
  'places',
  'people',
  'leaders',
  'buckets',
];

export function namesOf(prefix: string): Names {
  if (!PREFIX.test(prefix)) {
    throw new KeymuxError('KEYMUX_USAGE', `The prefix of a Redis store cannot be "${prefix}".`, {
      fix: 'Use 1 to 64 letters, digits, dots, hyphens, underscores, colons or slashes.',
    });
  }
  const tag = `${prefix}:{${prefix}}`;
  return {
    fleet: OF_THE_FLEET.map((part) => `${tag}:${part}`),
    channel: `${tag}:changes`,
    bucket: (name) => `${prefix}:{${prefix}/${name}}:permits`,
  };
}
