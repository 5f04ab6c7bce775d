import { expect, work } from './work.mjs';

const apiKey = process.env.ANTHROPIC_API_KEY;
const url = process.env.ANTHROPIC_URL;

await work({ agent: 'analyst', pieces: 40, pauseMs: 180 }, async (id) => {
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: {
      'x-api-key': apiKey,
      'anthropic-version': '2023-06-01',
      'content-type': 'application/json',
      'x-request-id': id,
    },
    body: JSON.stringify({
      model: 'claude-simulated',
      max_tokens: 64,
      messages: [{ role: 'user', content: 'Any risks?' }],
    }),
  });
  const answer = await response.json();
  expect(answer.content?.[0].text.startsWith('served by'), `status ${response.status}`, answer);
});
