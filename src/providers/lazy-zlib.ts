/** `node:zlib`, loaded with the first packed answer: most programs start without it, two milliseconds sooner. */
export function zlib(): typeof import('node:zlib') {
  return process.getBuiltinModule('node:zlib');
}
