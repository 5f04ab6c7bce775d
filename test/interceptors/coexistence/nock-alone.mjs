/** All hosts are mocked: nothing may reach the network. argv: order, client. */
import { importClient, inOrder, origin, report, ways } from './order.mjs';

const nock = await inOrder(async () => (await importClient('nock')).default);
nock.disableNetConnect();
nock(origin).get('/a').reply(429, { key: 'refused' }).get('/a').reply(200, { key: 'allowed' });
const ask = ways[process.argv[3]];
const first = await ask('/a').catch((error) => [error.response?.status, error.response?.data.key]);
const beyond = await ask('/b').then(
  () => 'answered',
  () => 'refused',
);
nock.restore();
nock.cleanAll();
const restored = await ask('/quote').catch((error) => [
  error.response?.status,
  error.response?.data.key ?? null,
]);
report({ first, beyond, restored });
