/** argv: order, client. */
import { importClient, inOrder, origin, report, ways } from './order.mjs';

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
const ask = ways[process.argv[3]];
const result = [await ask('/mocked'), await ask('/quote'), await ask('/mocked')];
server.close();
report({ result, mocked, closed: await ask('/quote') });
