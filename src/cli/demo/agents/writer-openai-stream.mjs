import OpenAI from 'openai';
import { expect, work } from './work.mjs';

const client = new OpenAI({
  apiKey: process.env.OPENAI_API_KEY,
  baseURL: `${process.env.OPENAI_URL}/v1`,
  maxRetries: 0,
});

await work({ agent: 'writer', pieces: 40, pauseMs: 120 }, async (id) => {
  const stream = await client.chat.completions.create(
    { model: 'gpt-simulated', stream: true, messages: [{ role: 'user', content: 'Write a summary.' }] },
    { headers: { 'x-request-id': id } },
  );
  let text = '';
  let finish;
  for await (const { choices } of stream) {
    text += choices[0]?.delta.content ?? '';
    finish = choices[0]?.finish_reason ?? finish;
  }
  expect(/^served by \S+$/.test(text) && finish === 'stop', 'a broken answer', text);
});
