/** How a key may be written in an address or a header: as it is, as in a path, and as in a query where that differs. */
function writingsOf(key: string): readonly string[] {
  const inPath = encodeURIComponent(key);
  if (!/[!'()~ ]/.test(key)) return inPath === key ? [key] : [key, inPath];
  return [key, inPath, new URLSearchParams({ '': key }).toString().slice(1)];
}

/** Whether a key stands anywhere in a text, in one of these ways. */
export function holdsKey(text: string, key: string): boolean {
  return text.includes(key) || writingsOf(key).some((writing) => text.includes(writing));
}

/** The text with something else wherever the key is written in one of these ways. */
export function replaceKey(text: string, key: string, replacement: string): string {
  return writingsOf(key).reduce((shown, writing) => shown.replaceAll(writing, () => replacement), text);
}
