/** argv: order, client. */
import { importClient, inOrder, origin, report, ways } from './order.mjs';

const mocked = [];
const nock = await inOrder(async () => (await importClient('nock')).default);
nock(origin, { allowUnmocked: true })
  .get('/mocked')
  .times(2)
  .reply(200, function () {
    mocked.push(this.req.headers['x-api-key']);
    return { key: 'from nock' };
  });

const ask = ways[process.argv[3]];
const result = [await ask('/mocked'), await ask('/quote'), await ask('/mocked')];
report({ result, mocked: mocked.flat(), isDone: nock.isDone() });
