/** What a client cannot do on a version of Node without keymux either; the matrix shows that each of these is so. */
export const EXCEPTIONS = [
  {
    names: /^undici 8,/,
    applies: (major, minor) => major < 22 || (major === 22 && minor < 19),
    why: 'undici 8 needs Node 22.19 and fails to load',
    error: /Cannot read properties of undefined/,
  },
  {
    names: /^WebSocket,/,
    applies: (major) => major < 22,
    why: 'there is no built-in WebSocket',
    error: /WebSocket is not defined/,
  },
];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

/** Why a row, a stop or a follower of this name cannot run here, if so. */
export function exceptionFor(name) {
  return EXCEPTIONS.find(({ names, applies }) => names.test(name) && applies(major, minor));
}
