import { RedisReplyError, type RedisScript, type Reply } from './client.js';

/** Runs by digest; a server that was restarted, or is new to the cluster, gets the text. */
export async function runScript(
  script: RedisScript,
  keys: readonly string[],
  args: readonly string[],
  send: (command: readonly string[]) => Promise<Reply>,
): Promise<Reply> {
  const inputs = [String(keys.length), ...keys, ...args];
  try {
    return await send(['EVALSHA', script.sha1, ...inputs]);
  } catch (error) {
    if (!(error instanceof RedisReplyError && error.code === 'NOSCRIPT')) throw error;
    return send(['EVAL', script.text, ...inputs]);
  }
}
