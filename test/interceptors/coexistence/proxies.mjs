/** argv: order, how. `PROXY` in the environment: where the proxy listens. */
import http from 'node:http';
import { headers, importClient, inOrder, origin, report, requireClient, ways } from './order.mjs';

const proxy = process.env.PROXY;

/** As global-agent does it: every request gets this agent, whatever it asked for. */
class ForcedAgent extends http.Agent {
  count = 0;

  addRequest(request, options, ...rest) {
    this.count += 1;
    return super.addRequest(request, options, ...rest);
  }
}

function forceAgent(agent) {
  for (const name of ['request', 'get']) {
    const original = http[name];
    http[name] = (url, options, callback) => original(url, { ...options, agent }, callback);
  }
}

const hows = {
  'https-proxy-agent': () =>
    inOrder(async () => {
      const { HttpsProxyAgent } = await importClient('https-proxy-agent');
      const agent = new HttpsProxyAgent(proxy);
      return async () => ({ answer: await ways['node:http']('/quote', { agent }) });
    }),
  ...Object.fromEntries(
    ['undici5', 'undici6', 'undici7', 'undici8'].map((name) => [
      name,
      () =>
        inOrder(async () => {
          const { ProxyAgent, request } = requireClient(name);
          const dispatcher = new ProxyAgent({ uri: proxy, proxyTunnel: true });
          return async () => {
            const { statusCode, body } = await request(`${origin}/quote`, { dispatcher, headers });
            return { answer: [statusCode, (await body.json()).key] };
          };
        }),
    ]),
  ),
  'a global agent': () =>
    inOrder(async () => {
      const agent = new ForcedAgent({ keepAlive: true });
      http.globalAgent = agent;
      return async () => ({ answer: await ways['node:http']('/quote'), count: agent.count });
    }),
  'a forced agent': () =>
    inOrder(async () => {
      const agent = new ForcedAgent({ keepAlive: true });
      forceAgent(agent);
      return async () => ({ answer: await ways['node:http']('/quote'), count: agent.count });
    }),
};

const run = await hows[process.argv[3]]();
report(await run());
