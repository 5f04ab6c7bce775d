export function isWebhookReference(value: string): boolean {
  return /^(?:env:[A-Za-z_][A-Za-z0-9_]*|file:\s*\S[^]*)$/.test(value);
}

/** Whether alerts may be sent there: nobody can read on the way what they say. */
export function isWebhookUrl(value: string): boolean {
  if (!URL.canParse(value) || /\s/.test(value)) return false;
  const { protocol, hostname, username, password } = new URL(value);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isThisMachine(hostname));
}

/** `hostname` as `URL` gives it. */
export function isThisMachine(hostname: string): boolean {
  return /^(?:localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}
