/** Loads clients when a row needs them; each is loaded as applications do, by `import` or by `require`. */
import { createRequire } from 'node:module';

export const load = async (name) => {
  const loaded = await import(name);
  return loaded.default ?? loaded;
};

export const loadAll = (name) => import(name);

export const require = createRequire(import.meta.url);

/** The whole text of a response of node:http. */
export async function textOf(incoming) {
  incoming.setEncoding('utf8');
  let text = '';
  for await (const chunk of incoming) text += chunk;
  return text;
}

/** The answer to a request of node:http that has been ended. */
export function answerTo(request) {
  return new Promise((resolve, reject) => {
    request.on('response', (incoming) => void textOf(incoming).then(resolve, reject));
    request.on('error', reject);
  });
}

/** Reads a web stream to its end; `onFirst` is called with its first bytes. */
export async function readEvents(body, onFirst) {
  let text = '';
  let isFirst = true;
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    text += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    if (isFirst) await onFirst();
    isFirst = false;
  }
  return text;
}
