// A program that knows nothing of keymux: OpenAI's client with what it reads from the environment.
import OpenAI from 'openai';

const client = new OpenAI({ maxRetries: 0 });
const question = { model: 'm', messages: [{ role: 'user', content: 'Hello' }] };
try {
  if (process.argv[2] === 'stream') {
    const stream = await client.chat.completions.create({ ...question, stream: true });
    for await (const { choices } of stream) process.stdout.write(choices[0].delta.content ?? '');
  } else {
    const { data, response } = await client.chat.completions.create(question).withResponse();
    console.log(`status ${response.status} by ${response.headers.get('x-keymux-key')}`);
    console.log(data.choices[0].message.content);
  }
} catch (error) {
  if (!(error instanceof OpenAI.RateLimitError)) throw error;
  console.error(`refused with ${error.status}, again in ${error.headers.get('retry-after')} s`);
  process.exitCode = 1;
}
