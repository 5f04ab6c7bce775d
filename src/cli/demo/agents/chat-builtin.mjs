import { expect, work } from './work.mjs';

const apiKey = process.env.OPENAI_API_KEY;
const url = process.env.OPENAI_URL;

await work({ agent: 'chat', pieces: 50, pauseMs: 170 }, async (id) => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', 'x-request-id': id },
    body: JSON.stringify({
      model: 'gpt-simulated',
      messages: [{ role: 'user', content: 'How is the market?' }],
    }),
  });
  const answer = await response.json();
  expect(answer.choices?.[0].message.content.startsWith('served by'), `status ${response.status}`, answer);
});
