/** argv: order. */
import { importClient, inEveryWay, inOrder, origin, report, ways } from './order.mjs';

const mocked = [];
const server = await inOrder(async () => {
  const { setupServer } = await importClient('msw/node');
  const { http, HttpResponse } = await importClient('msw');
  const own = setupServer(
    http.get(`${origin}/mocked`, ({ request }) => {
      mocked.push(request.headers.get('x-api-key'));
      return HttpResponse.json({ key: 'from msw' });
    }),
  );
  own.listen({ onUnhandledRequest: 'bypass' });
  return own;
});
const results = await inEveryWay(async (ask) => ({
  result: [await ask('/mocked'), await ask('/quote'), await ask('/mocked')],
  mocked: mocked.splice(0),
}));
server.close();
for (const [way, ask] of Object.entries(ways)) results[way].closed = await ask('/quote');
report(results);
