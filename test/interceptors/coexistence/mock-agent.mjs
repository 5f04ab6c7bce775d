/** argv: order, the name of an undici. */
import { headers, inOrder, origin, report, requireClient } from './order.mjs';

const undici = await inOrder(async () => requireClient(process.argv[3]));
const mocked = [];
const agent = new undici.MockAgent();
agent.disableNetConnect();
agent
  .get(origin)
  .intercept({ path: '/mocked' })
  .reply(200, ({ headers: seen }) => {
    mocked.push(typeof seen.get === 'function' ? seen.get('x-api-key') : seen['x-api-key']);
    return { key: 'from the mock' };
  })
  .times(2);
undici.setGlobalDispatcher(agent);

async function ask(path) {
  const { statusCode, body } = await undici.request(`${origin}${path}`, { headers });
  return [statusCode, (await body.json()).key];
}

async function askByFetch(path) {
  const response = await undici.fetch(`${origin}${path}`, { headers });
  return [response.status, (await response.json()).key];
}

const result = [await ask('/mocked'), await askByFetch('/mocked')];
const beyond = await ask('/quote').then(
  () => 'answered',
  (error) => error.name,
);
agent.enableNetConnect();
result.push(await ask('/quote'));
await agent.close();
report({ result, mocked, beyond });
