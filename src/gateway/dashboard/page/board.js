/** Everything that is seen after signing in, and when it is asked for anew. */
import { clock } from './parts.js';
import { panelFor } from './panel.js';
import { keysView } from './view-keys.js';
import { newsView } from './view-news.js';
import { fleetView, providersView, summaryView, usageView } from './view-rest.js';
import { servicesView } from './view-services.js';
import { trafficView } from './view-traffic.js';
import { whyView } from './view-why.js';

/** Selections of keys that are asked for: each tells of all candidates. A request has as many as attempts. */
const LAST_DECISIONS = 20;

/** Events after which the state is another one. */
const HEALTH_EVENTS = new Set([
  'failover',
  'cooldown',
  'rejected',
  'refused-alike',
  'recovered',
  'quota',
  'degraded',
  'restored',
  'reloaded',
  'exhausted',
  'shared-bucket',
]);

/**
 * @param {{ gateway: import('./gateway.js').Gateway, mayChange: boolean, wake: () => void }} session
 *   `wake`: asks for a refresh soon
 */
export function createBoard({ gateway, mayChange, wake }) {
  const bodyOf = (id) => {
    const body = document.querySelector(`#${id} > .body`);
    body.replaceChildren();
    return body;
  };
  let state;

  const refreshState = async () => {
    state = await gateway.get('state');
    clock.offsetMs = state.at - Date.now();
    for (const view of [summary, services, keys, providers]) view.update(state);
    traffic.offer(state);
    why.offer(state);
  };
  const changed = async () => {
    await refreshState();
    await panel.refresh();
  };
  const panel = panelFor({ gateway, mayChange, state: () => state, changed });
  const { openKey, openRequest } = panel;
  const showWhy = (name) => {
    why.choose(name);
    refreshWhy().catch(wake);
  };
  document.getElementById('summary').replaceChildren();
  const summary = summaryView(document.getElementById('summary'));
  const services = servicesView(bodyOf('services'), { openKey, showWhy });
  const keys = keysView(bodyOf('keys'), { openKey });
  const traffic = trafficView(bodyOf('traffic'), { onChange: () => refreshTraffic().catch(wake) });
  const why = whyView(bodyOf('why'), { openKey, openRequest, onChange: () => refreshWhy().catch(wake) });
  const providers = providersView(bodyOf('providers'));
  const usage = usageView(bodyOf('usage'), { openKey });
  const fleet = fleetView(bodyOf('fleet'));
  const news = newsView(bodyOf('news'), document.getElementById('announcer'));

  const refreshTraffic = async () => {
    const query = traffic.query();
    if (query === undefined) return;
    const { series } = await gateway.get(
      `series?${new URLSearchParams({ subject: query.subject, lastMs: String(query.lastMs) })}`,
    );
    traffic.update(series[0]?.slots ?? []);
  };
  const refreshWhy = async () => {
    const name = why.query();
    if (name !== undefined) why.explain(await gateway.get(`services/${encodeURIComponent(name)}/explain`));
  };
  const refreshRequests = async () => {
    const { decisions } = await gateway.get(`requests?last=${LAST_DECISIONS}`);
    why.requests(requestsOf(decisions));
  };

  return {
    openKey,
    /** What changes with each request. Rejects with a `GatewayError`. */
    async refresh() {
      await refreshState();
      await refreshWhy();
    },
    /** What costs more to ask, or changes slowly. */
    async refreshSlowly() {
      const [usageReport, fleetReport] = await Promise.all([
        gateway.get('usage'),
        gateway.get('fleet'),
        refreshTraffic(),
        refreshRequests(),
        panel.refresh(),
      ]);
      usage.update(usageReport);
      fleet.update(fleetReport, state);
    },
    tell(event) {
      news.add(event);
      if (HEALTH_EVENTS.has(event.name)) wake();
    },
    close: () => panel.close(),
  };
}

/** The newest first. */
function requestsOf(decisions) {
  const attempts = Map.groupBy(decisions, ({ requestId }) => requestId);
  return [...attempts.values()]
    .map((all) => ({ requestId: all[0].requestId, attempts: all, last: all.at(-1) }))
    .reverse();
}
