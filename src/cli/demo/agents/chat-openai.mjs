import OpenAI from 'openai';
import { expect, work } from './work.mjs';

// Without the client's own retries: what is refused here is lost.
const client = new OpenAI({
  apiKey: process.env.OPENAI_API_KEY,
  baseURL: `${process.env.OPENAI_URL}/v1`,
  maxRetries: 0,
});

await work({ agent: 'chat', pieces: 50, pauseMs: 170 }, async (id) => {
  const answer = await client.chat.completions.create(
    { model: 'gpt-simulated', messages: [{ role: 'user', content: 'How is the market?' }] },
    { headers: { 'x-request-id': id } },
  );
  expect(answer.choices[0]?.message.content.startsWith('served by'), 'no answer', answer);
});
