/** The panel at the side: one key with its history, or the story of one request. */
import { el, emptyState, rich, setShown, setText, syncChildren, textCell } from './dom.js';
import { ACTIONS, confirmAction } from './confirm.js';
import { allowance, badge, deadline, moment } from './parts.js';
import { newsItem } from './view-news.js';
import { trafficPlots } from './view-traffic.js';
import { requestStory } from './view-why.js';
import { KEY_STATES, badgeOf, countText, latencyText, reasonText, windowText } from './words.js';

/** Of the plots. Milliseconds. */
const LAST_MS = 900_000;

/**
 * @param {{ gateway: import('./gateway.js').Gateway, mayChange: boolean, state: () => object | undefined, changed: () => Promise<void> }} session
 */
export function panelFor(session) {
  const dialog = document.getElementById('panel');
  const title = document.getElementById('panel-title');
  const body = document.getElementById('panel-body');
  /** What is shown; undefined while the panel is closed. */
  let shown;

  const open = (text, content, refresh) => {
    shown = { refresh };
    setText(title, text);
    body.replaceChildren(content);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    title.focus();
  };
  document.getElementById('panel-close').onclick = () => dialog.close();
  dialog.onclose = () => (shown = undefined);
  // A click beside the panel hits the dialog itself.
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };

  const failed = (error) =>
    el('p', { class: 'problem', role: 'alert' }, ...rich(`${error.message} ${error.fix ?? ''}`));

  const openKey = (id) => {
    const parts = keyParts(session, id);
    const refresh = async () => {
      const key = session.state()?.keys.find((one) => one.id === id);
      parts.update(key);
      const query = new URLSearchParams({ subject: id, lastMs: String(LAST_MS) });
      const [series, history] = await Promise.all([
        session.gateway.get(`series?${query}`),
        session.gateway.get(`history?${new URLSearchParams({ key: id })}`),
      ]);
      parts.past(series.series[0]?.slots ?? [], history.events);
    };
    open(id, parts.element, refresh);
    refresh().catch((error) => parts.element.append(failed(error)));
  };

  const openRequest = async (requestId) => {
    let content;
    try {
      content = requestStory(await session.gateway.get(`requests/${encodeURIComponent(requestId)}`), openKey);
    } catch (error) {
      content = failed(error);
    }
    open(`Request ${requestId}`, content, async () => {});
  };

  return {
    openKey,
    openRequest,
    close: () => dialog.close(),
    /** Rejects where the gateway does not answer. */
    refresh: async () => shown?.refresh(),
  };
}

function keyParts({ gateway, mayChange, changed }, id) {
  const gone = el('p', { class: 'problem', hidden: true }, 'This key is no longer in use.');
  const facts = FACTS.map(([name, make]) => ({ name, content: make() }));
  const list = el(
    'dl',
    { class: 'facts' },
    ...facts.map(({ name, content }) => el('div', {}, el('dt', {}, name), el('dd', {}, content))),
  );
  const buttons = Object.entries(ACTIONS).map(([action, { verb, isFor }]) => {
    const work = async () => {
      await gateway.post(`keys/${id.split('/').map(encodeURIComponent).join('/')}/${action}`);
      await changed();
    };
    const button = el('button', { type: 'button', click: () => confirmAction(action, id, work) }, verb);
    button.update = (key) => setShown(button, isFor(key));
    return button;
  });
  const actions = mayChange
    ? el('div', { class: 'actions' }, ...buttons)
    : el(
        'p',
        { class: 'muted' },
        'Your token may look. To disable, enable or reset keys, sign in with one that has the role admin.',
      );
  const plots = trafficPlots();
  const history = el('ol', { class: 'news-list', reversed: true });
  const nothing = emptyState(
    'Nothing happened to this key lately.',
    'Cooldowns, rejections, probes and failovers are kept here as long as the gateway runs.',
  );
  const element = el(
    'div',
    {},
    gone,
    list,
    actions,
    el('h3', {}, 'Last 15 minutes'),
    plots.element,
    el('h3', {}, 'History'),
    history,
    nothing,
  );
  return {
    element,
    update(key) {
      setShown(gone, key === undefined);
      setShown(actions, key !== undefined);
      if (key === undefined) return;
      for (const { content } of facts) content.update(key);
      for (const button of buttons) button.update(key);
    },
    past(slots, events) {
      plots.update(slots);
      const shown = events.toReversed().map((event) => ({ ...event, id: String(event.id) }));
      syncChildren(history, shown, (event) => event.id, newsItem);
      setShown(nothing, shown.length === 0);
    },
  };
}

const FACTS = [
  ['State', () => badge(({ state }) => badgeOf(KEY_STATES, state))],
  ['Reason', () => textCell(({ reason, state }) => reasonText(reason) || REASONS[state] || '–', 'wrap')],
  ['Returns', returnsPart],
  ['Allowance left', () => allowance()],
  ['Limits', () => textCell(({ limits }) => limits.map(limitText).join(', ') || 'none known')],
  [
    'Bucket',
    () =>
      textCell(({ bucket, bucketSource }) => `${bucket} (${BUCKETS[bucketSource] ?? bucketSource})`, 'wrap'),
  ],
  ['Found in', () => textCell(({ foundIn }) => foundIn, 'wrap')],
  ['Used, failed', () => textCell(({ uses, failures }) => `${countText(uses)}, ${countText(failures)}`)],
  ['Under way', () => textCell(({ inFlight }) => countText(inFlight))],
  [
    'Latency',
    () => textCell(({ latencyMs }) => (latencyMs === 0 ? 'not measured yet' : latencyText(latencyMs))),
  ],
  ['New window', () => resetPart()],
];

const REASONS = {
  ready: 'nothing stands in its way',
  unproven: 'not used yet',
  disabled: 'a person took it out of use',
  returning: 'it answered again and is tried carefully',
};

const BUCKETS = { own: 'its own', declared: 'shared, as configured', learnt: 'shared, as answers say' };

function limitText({ requests, perMs, stated }) {
  return `${countText(stated ?? requests)} per ${windowText(perMs)}${stated === undefined ? '' : ' (stated by the provider)'}`;
}

function returnsPart() {
  const parts = [deadline(), textCell(({ until }) => (until === undefined ? '–' : ''))];
  const element = el('span', {}, ...parts);
  element.update = (key) => {
    for (const part of parts) part.update(key);
  };
  return element;
}

function resetPart() {
  const parts = [
    moment(({ stated }) => stated?.until),
    textCell(({ stated }) => (stated === undefined ? 'not stated' : '')),
  ];
  const element = el('span', {}, ...parts);
  element.update = (key) => {
    for (const part of parts) part.update(key);
  };
  return element;
}
