/**
 * What an application knows of its servers: where they are, and the keys that it found in its environment when it
 * started. `SITES` in the environment has the origins by the name of the site, as JSON; `proxy` is one of them.
 */
const sites = JSON.parse(process.env.SITES);

const KEY_VARIABLES = {
  gate: 'BEARER_API_KEY',
  'openai-gate': 'OPENAI_API_KEY',
  'anthropic-gate': 'ANTHROPIC_API_KEY',
  'gemini-gate': 'GEMINI_API_KEY',
};

/** Read once, as applications do. */
const keys = Object.fromEntries(
  Object.keys(sites).map((site) => [
    site,
    process.env[KEY_VARIABLES[site] ?? `${site.toUpperCase()}_API_KEY`],
  ]),
);

/** What to do when the parent says so, by its word. */
const waiting = new Map();

export function onReply(word, act) {
  waiting.set(word, [...(waiting.get(word) ?? []), act]);
}

/** The parent has said this word. */
export function tellReplied(word) {
  for (const act of waiting.get(word) ?? []) act();
  waiting.delete(word);
}

/** Tells the parent of an event; resolves when it answers. */
function tell(event) {
  return new Promise((resolve) => {
    onReply(event, resolve);
    process.send({ event });
  });
}

export function targetOf(site) {
  const key = keys[site];
  return {
    origin: sites[site],
    key,
    secret: process.env.EXCHANGE_API_SECRET,
    headers: { authorization: `Bearer ${key}` },
    proxy: sites.proxy,
    onFirst: () => tell('first'),
  };
}
