import { el, emptyState, setShown, setText, table, textCell } from './dom.js';
import { allowance, badge, deadline, opener } from './parts.js';
import { KEY_STATES, badgeOf, counted, countText, latencyText, reasonText } from './words.js';

/** A list that is longer is shown when it is asked for. */
const FIRST_ROWS = 60;
const GRAVITY = [
  'expired',
  'rejected',
  'out-of-permits',
  'resting',
  'returning',
  'disabled',
  'unproven',
  'ready',
];

/** All keys: state, cooldown, allowance; to be searched and reduced to what is in trouble. */
export function keysView(body, { openKey }) {
  const search = el('input', { type: 'search', id: 'key-search', autocomplete: 'off', spellcheck: 'false' });
  const onlyTrouble = el('input', { type: 'checkbox', id: 'key-trouble' });
  const order = el(
    'select',
    { id: 'key-order' },
    el('option', { value: 'configured' }, 'as configured'),
    el('option', { value: 'trouble' }, 'trouble first'),
    el('option', { value: 'uses' }, 'most used first'),
  );
  const rows = keyTable(openKey);
  const count = el('p', { class: 'muted', role: 'status' });
  const more = el('button', { type: 'button' });
  const none = emptyState('No key is like that.', 'Change the search, or show the healthy keys too.');
  const empty = emptyState(
    'No keys were found.',
    'Set the variable of a provider, such as OPENAI_API_KEY, where the gateway runs; OPENAI_API_KEY_2 or OPENAI_API_KEYS=a,b adds more.',
    '`keymux doctor` tells where it looked.',
  );
  const tools = el(
    'div',
    { class: 'tools' },
    el('label', {}, 'Search ', search),
    el('label', {}, 'Order ', order),
    el('label', { class: 'check' }, onlyTrouble, ' only those in trouble'),
  );
  body.append(tools, count, rows.element, none, empty, more);

  let keys = [];
  let most = FIRST_ROWS;
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = sorted(keys, order.value).filter(
      (key) =>
        (!onlyTrouble.checked || !isUsable(key)) &&
        `${key.id} ${key.bucket} ${key.state} ${key.foundIn}`.toLowerCase().includes(wanted),
    );
    rows.update(found.slice(0, most), ({ id }) => id);
    const usable = keys.filter(isUsable).length;
    setText(
      count,
      found.length === keys.length
        ? `${usable} of ${counted(keys.length, 'key', 'keys')} usable`
        : `${found.length} of ${counted(keys.length, 'key', 'keys')} shown`,
    );
    setShown(tools, keys.length > 0);
    setShown(count, keys.length > 0);
    setShown(rows.element, found.length > 0);
    setShown(none, found.length === 0 && keys.length > 0);
    setShown(empty, keys.length === 0);
    setShown(more, found.length > most);
    setText(more, `Show ${found.length - most} more`);
  };
  search.addEventListener('input', show);
  order.addEventListener('change', show);
  onlyTrouble.addEventListener('change', show);
  more.addEventListener('click', () => {
    most = Number.POSITIVE_INFINITY;
    show();
  });
  return {
    update(state) {
      keys = state.keys;
      show();
    },
  };
}

function keyTable(openKey) {
  return table({
    caption: 'Keys and their state',
    columns: [
      { title: 'Key', make: () => keyCell(openKey) },
      { title: 'State', make: stateCell },
      { title: 'Allowance left', make: () => allowance() },
      { title: 'Used', class: 'number', make: () => textCell(({ uses }) => countText(uses)) },
      { title: 'Failed', class: 'number', make: () => textCell(({ failures }) => countText(failures)) },
      { title: 'Under way', class: 'number', make: () => textCell(({ inFlight }) => countText(inFlight)) },
      {
        title: 'Latency',
        class: 'number',
        make: () => textCell(({ latencyMs }) => (latencyMs === 0 ? '–' : latencyText(latencyMs))),
      },
    ],
  });
}

function keyCell(openKey) {
  const name = opener(
    ({ id }) => id,
    ({ id }) => openKey(id),
  );
  const shared = textCell(
    ({ bucket, bucketSource }) => (bucketSource === 'own' ? '' : `shares ${bucket}`),
    'muted small',
  );
  const element = el('span', { class: 'stack' }, name, shared);
  element.update = (key) => {
    name.update(key);
    shared.update(key);
  };
  return element;
}

function stateCell() {
  const parts = [
    badge(({ state }) => badgeOf(KEY_STATES, state)),
    deadline(),
    textCell(whyText, 'muted small wrap'),
  ];
  const element = el('span', { class: 'stack' }, ...parts);
  element.update = (key) => {
    for (const part of parts) part.update(key);
  };
  return element;
}

/** What the word of the state does not tell yet. */
function whyText({ reason, state }) {
  const text = reasonText(reason);
  return state === 'disabled' || text === state ? '' : text;
}

export function isUsable({ state }) {
  return state === 'ready' || state === 'unproven' || state === 'returning';
}

function sorted(keys, order) {
  if (order === 'trouble')
    return keys.toSorted((a, b) => GRAVITY.indexOf(a.state) - GRAVITY.indexOf(b.state));
  if (order === 'uses') return keys.toSorted((a, b) => b.uses - a.uses);
  return keys;
}
