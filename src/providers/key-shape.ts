/** Whole values that stand for "no key yet", without regard to case. */
const PLACEHOLDERS = new Set([
  'api-key',
  'apikey',
  'changeme',
  'change-me',
  'demo',
  'dummy',
  'example',
  'fake',
  'insert-key-here',
  'key',
  'none',
  'null',
  'placeholder',
  'redacted',
  'secret',
  'tbd',
  'todo',
  'token',
  'undefined',
]);

/** `your-api-key`, `replace_me`, `insert key`, `TODO: ask Ann`. */
const FIRST_WORDS = /^(?:your|insert|enter|paste|replace|change-?_?me|todo)(?:[-_\s:]|$)/i;
/** `yourapikey`, `sk-your-key`, `sk-proj-YOUR_API_KEY`, `key-goes-here`. */
const INNER_WORDS =
  /your[-_ ]?(?:own[-_ ]?)?(?:api[-_ ]?|secret[-_ ]?|access[-_ ]?)?(?:key|token|secret)|key[-_ ](?:goes[-_ ])?here$/i;
/** `example-key`, `dummy_api_key`, `fake-token`; not `fake-key-1`, which somebody's simulator may accept. */
const EXAMPLES = /^(?:example|sample|dummy|fake|placeholder)[-_ ]?(?:api[-_ ]?)?(?:key|token|secret)$/i;
/** `<key>`, `${KEY}`, `$KEY`, `{{ key }}`, `%KEY%`, `[key]`, `__KEY__`: templates that nobody filled in. */
const BRACKETED = /^(?:<.*>|\$\{.*\}|\$\(.*\)|\$[A-Z_]+|\{\{.*\}\}|%\w+%|\[.*\]|__[A-Z_]+__)$/s;
/** `xxx`, `sk-xxxxxx`, `sk-...`. Fewer than six `x` inside a value may be chance. */
const FILLER = /^[xX]{3,}$|x{6}|X{6}|\*{3}|\.{3}|\u2026/;

/**
 * Whether a value is a template's placeholder and no key: empty, blank, `your-…`, `<…>`, `changeme`, `xxxxxx`,
 * `sk-...`, `TODO` and the like. Real keys are spared before templates are caught: nothing is judged by its
 * length, and a prefix such as `sk_test_` counts for nothing.
 *
 * `demo` is a placeholder except where `demoKeys` (of the provider's catalogue entry) names it: Alpha Vantage and
 * others answer to it, if only for their sample symbols.
 */
export function isTemplateValue(value: string, demoKeys: readonly string[] = []): boolean {
  const text = value.trim();
  if (demoKeys.includes(text)) return false;
  if (text === '' || PLACEHOLDERS.has(text.toLowerCase().replaceAll(/[_\s]/g, '-'))) return true;
  return [FIRST_WORDS, INNER_WORDS, EXAMPLES, BRACKETED, FILLER].some((template) => template.test(text));
}
