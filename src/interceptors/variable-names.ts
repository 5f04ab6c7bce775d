/** `OPENAI_API_KEY_2`, `…_BACKUP`, `…_BACKUP_1` and the list `…S` belong to `OPENAI_API_KEY`. */
const VARIANT = /(?:_\d+|_BACKUP(?:_\d+)?|S)$/;

/** The name that a variable may be a variant of. */
export function baseName(name: string): string {
  return name.replace(VARIANT, '');
}
