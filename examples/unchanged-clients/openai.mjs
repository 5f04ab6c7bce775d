// A program that knows nothing of keymux. The SDK reads OPENAI_API_KEY and OPENAI_BASE_URL by itself.
import OpenAI from 'openai';

const client = new OpenAI({ maxRetries: 0 });
for (let i = 1; i <= 2; i++) {
  const { choices } = await client.chat.completions.create({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: `Hello ${i}` }],
  });
  console.log(`openai: ${choices[0].message.role}`);
}
const stream = await client.chat.completions.create({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Hello again' }],
  stream: true,
});
let last;
for await (const chunk of stream) last = chunk;
console.log(`openai: a stream that ends with ${last.choices[0].finish_reason}`);
