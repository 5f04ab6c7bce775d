import { expect, work } from './work.mjs';

const apiKey = process.env.OPENAI_API_KEY;
const url = process.env.OPENAI_URL;

await work({ agent: 'writer', pieces: 40, pauseMs: 120 }, async (id) => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', 'x-request-id': id },
    body: JSON.stringify({
      model: 'gpt-simulated',
      stream: true,
      messages: [{ role: 'user', content: 'Write a summary.' }],
    }),
  });
  const events = await response.text();
  expect(response.ok && events.trimEnd().endsWith('data: [DONE]'), `status ${response.status}`, events);
});
