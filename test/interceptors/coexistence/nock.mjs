/** argv: order. */
import { importClient, inEveryWay, inOrder, origin, report } from './order.mjs';

const mocked = [];
const nock = await inOrder(async () => (await importClient('nock')).default);
nock(origin, { allowUnmocked: true })
  .get('/mocked')
  .times(6)
  .reply(200, function () {
    mocked.push(this.req.headers['x-api-key']);
    return { key: 'from nock' };
  });

report(
  await inEveryWay(async (ask) => ({
    result: [await ask('/mocked'), await ask('/quote'), await ask('/mocked')],
    mocked: mocked.splice(0).flat(),
  })),
  { isDone: nock.isDone() },
);
