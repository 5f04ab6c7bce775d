/** Why a text cannot be an API key, or `undefined` if it can. Expects trimmed text that is not empty. */
export function keyFault(text: string): string | undefined {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) return 'it holds a line break or another control character';
  if (/[^ -~]/.test(text))
    return 'it holds a character outside ASCII, which no key has (often pasted from a web page)';
  return undefined;
}
