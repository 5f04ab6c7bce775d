import Anthropic from '@anthropic-ai/sdk';
import { expect, work } from './work.mjs';

const client = new Anthropic({
  apiKey: process.env.ANTHROPIC_API_KEY,
  baseURL: process.env.ANTHROPIC_URL,
  maxRetries: 0,
});

await work({ agent: 'analyst', pieces: 40, pauseMs: 180 }, async (id) => {
  const answer = await client.messages.create(
    { model: 'claude-simulated', max_tokens: 64, messages: [{ role: 'user', content: 'Any risks?' }] },
    { headers: { 'x-request-id': id } },
  );
  expect(answer.content[0]?.text.startsWith('served by'), 'no answer', answer);
});
