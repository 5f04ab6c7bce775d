// A program that knows nothing of keymux: Anthropic's client with what it reads from the environment.
import Anthropic from '@anthropic-ai/sdk';

const client = new Anthropic({ maxRetries: 0 });
const question = { model: 'm', max_tokens: 50, messages: [{ role: 'user', content: 'Hello' }] };
try {
  if (process.argv[2] === 'stream') {
    const stream = await client.messages.create({ ...question, stream: true });
    for await (const event of stream) {
      if (event.type === 'content_block_delta') process.stdout.write(event.delta.text);
    }
  } else {
    const { data, response } = await client.messages.create(question).withResponse();
    console.log(`status ${response.status} by ${response.headers.get('x-keymux-key')}`);
    console.log(data.content[0].text);
  }
} catch (error) {
  if (!(error instanceof Anthropic.RateLimitError)) throw error;
  console.error(`refused with ${error.status}, again in ${error.headers.get('retry-after')} s`);
  process.exitCode = 1;
}
