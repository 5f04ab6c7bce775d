import { load, loadAll } from './clients.mjs';

const json = JSON.stringify;
const messages = [{ role: 'user', content: 'hello' }];

/** Joins what a stream of objects says; `onFirst` is called with the first one. */
async function joined(stream, onFirst, textOf) {
  let text = '';
  let isFirst = true;
  for await (const part of stream) {
    text += textOf(part) ?? '';
    if (isFirst) await onFirst();
    isFirst = false;
  }
  return text;
}

function openaiRows(version) {
  const client = async ({ origin, key }) =>
    new (await load(`openai${version}`))({ apiKey: key, baseURL: `${origin}/v1`, maxRetries: 0 });
  return [
    {
      name: `openai ${version}`,
      site: 'openai',
      call: async (target) =>
        json(await (await client(target)).chat.completions.create({ model: 'm', messages })),
    },
    {
      name: `openai ${version}, events`,
      site: 'openai-gate',
      call: async (target) => {
        const request = { model: 'm', messages, stream: true };
        const stream = await (await client(target)).chat.completions.create(request);
        return joined(stream, target.onFirst, ({ choices }) => choices[0]?.delta.content);
      },
    },
  ];
}

const anthropic = async ({ origin, key }) =>
  new (await load('@anthropic-ai/sdk'))({ apiKey: key, baseURL: origin, maxRetries: 0 });
const claude = { model: 'm', max_tokens: 5, messages };

const anthropicRows = [
  {
    name: '@anthropic-ai/sdk',
    site: 'anthropic',
    call: async (target) => json(await (await anthropic(target)).messages.create(claude)),
  },
  {
    name: '@anthropic-ai/sdk, events',
    site: 'anthropic-gate',
    call: async (target) => {
      const stream = await (await anthropic(target)).messages.create({ ...claude, stream: true });
      return joined(stream, target.onFirst, ({ delta }) => delta?.text);
    },
  },
];

function genaiRows(version, name) {
  const models = async ({ origin, key }) => {
    const { GoogleGenAI } = await loadAll(name);
    return new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: origin } }).models;
  };
  const prompt = { model: 'gemini-m', contents: 'hello' };
  return [
    {
      name: `@google/genai ${version}`,
      site: 'gemini',
      call: async (target) => (await (await models(target)).generateContent(prompt)).text,
    },
    {
      name: `@google/genai ${version}, events`,
      site: 'gemini-gate',
      call: async (target) => {
        const stream = await (await models(target)).generateContentStream(prompt);
        return joined(stream, target.onFirst, ({ text }) => text);
      },
    },
  ];
}

export const sdkRows = [
  ...[6, 7].flatMap(openaiRows),
  ...anthropicRows,
  ...genaiRows(2, '@google/genai'),
  ...genaiRows(3, 'genai3'),
];
