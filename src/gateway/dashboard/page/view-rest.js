/** Providers, usage, fleet and the summary: sections that only show. */
import { el, emptyState, setAttribute, setShown, setText, syncChildren, table, textCell } from './dom.js';
import { badge, deadline, moment, opener } from './parts.js';
import { CIRCUITS, badgeOf, costText, counted, countText, percentText } from './words.js';
import { isUsable } from './view-keys.js';

export function summaryView(parent) {
  return {
    update(state) {
      syncChildren(parent, figuresOf(state), ({ name }) => name, figure);
    },
  };
}

function figuresOf({ keys, services, providers, store, fleet }) {
  const usable = keys.filter(isUsable).length;
  const stuck = services.filter(({ next }) => next === undefined).length;
  const open = providers.filter(({ circuit }) => circuit !== 'closed').length;
  const uses = keys.reduce((sum, key) => sum + key.uses, 0);
  return [
    {
      name: 'Keys usable',
      value: `${usable} of ${keys.length}`,
      tone: tone(usable < keys.length, usable === 0),
      word:
        keys.length === 0
          ? 'none found'
          : usable === keys.length
            ? 'all well'
            : `${keys.length - usable} out`,
    },
    {
      name: 'Services',
      value: String(services.length),
      tone: services.length === 0 ? 'idle' : tone(false, stuck > 0),
      word: services.length === 0 ? 'none yet' : stuck === 0 ? 'each has a key' : `${stuck} without a key`,
    },
    {
      name: 'Providers',
      value: String(providers.length),
      tone: providers.length === 0 ? 'idle' : tone(open > 0, false),
      word: providers.length === 0 ? 'none in use' : open === 0 ? 'circuits closed' : `${open} in trouble`,
    },
    {
      name: 'Requests',
      value: countText(uses),
      tone: 'idle',
      word: `${countText(keys.reduce((sum, key) => sum + key.inFlight, 0))} under way`,
    },
    {
      name: 'Store',
      value: store.kind,
      tone: tone(false, store.trouble !== undefined),
      word:
        store.trouble === undefined
          ? fleet === undefined
            ? 'this process alone'
            : counted(fleet.size, 'process', 'processes')
          : 'lost',
    },
  ];
}

function tone(isWarning, isBad) {
  return isBad ? 'bad' : isWarning ? 'warn' : 'good';
}

const TONE_ICONS = { good: '●', warn: '◌', bad: '✗', idle: '·' };

function figure() {
  const name = el('span', { class: 'figure-name' });
  const value = el('span', { class: 'figure-value' });
  const state = badge(({ tone: shown, word }) => ({ icon: TONE_ICONS[shown], word, tone: shown }), 'plain');
  const element = el('div', { class: 'figure' }, name, value, state);
  element.update = (item) => {
    setText(name, item.name);
    setText(value, item.value);
    state.update(item);
  };
  return element;
}

export function providersView(body) {
  const rows = table({
    caption: 'Providers, their circuit and their health',
    columns: [
      { title: 'Provider', make: () => textCell(({ id }) => id, 'name') },
      { title: 'Circuit', make: circuitCell },
      { title: 'Health', make: healthCell },
      { title: 'Mode', make: () => textCell(({ mode }) => mode) },
      { title: 'Keys go only to', make: () => textCell(({ origins }) => origins.join(', '), 'wrap') },
    ],
  });
  const empty = emptyState(
    'No providers are in use.',
    'A provider is in use as soon as a key of it is found, or the configuration names it.',
  );
  body.append(rows.element, empty);
  return {
    update({ providers }) {
      rows.update(providers, ({ id }) => id);
      setShown(rows.element, providers.length > 0);
      setShown(empty, providers.length === 0);
    },
  };
}

function circuitCell() {
  const parts = [badge(({ circuit }) => badgeOf(CIRCUITS, circuit)), deadline()];
  const element = el('span', { class: 'stack' }, ...parts);
  element.update = (provider) => {
    for (const part of parts) part.update(provider);
  };
  return element;
}

function healthCell() {
  const fill = el('span', { class: 'bar-fill' });
  const track = el('span', { class: 'bar', role: 'meter', 'aria-valuemin': 0, 'aria-valuemax': 100 }, fill);
  const text = el('span', { class: 'bar-text' });
  const element = el('span', { class: 'allowance' }, track, text);
  element.update = ({ id, healthScore }) => {
    setAttribute(track, 'aria-label', `Health score of ${id}`);
    setAttribute(track, 'aria-valuenow', Math.round(healthScore * 100));
    setAttribute(track, 'aria-valuetext', percentText(healthScore));
    setAttribute(track, 'data-tone', healthScore >= 0.9 ? 'good' : healthScore >= 0.5 ? 'warn' : 'bad');
    fill.style.width = `${healthScore * 100}%`;
    setText(text, percentText(healthScore));
  };
  return element;
}

const USAGE_COLUMNS = [
  { title: 'Requests', class: 'number', make: () => textCell(({ requests }) => countText(requests)) },
  { title: 'Failed', class: 'number', make: () => textCell(({ failures }) => countText(failures)) },
  {
    title: 'Failed share',
    class: 'number',
    make: () =>
      textCell(({ requests, failures }) => (requests === 0 ? '–' : percentText(failures / requests))),
  },
  { title: 'Cost', class: 'number', make: () => textCell(({ costUsd }) => costText(costUsd)) },
];

export function usageView(body, { openKey }) {
  const scope = el('p', { class: 'lead' });
  const providers = table({
    caption: 'Usage by provider',
    columns: [
      { title: 'Provider', make: () => textCell(({ provider }) => provider, 'name') },
      ...USAGE_COLUMNS,
    ],
  });
  const keys = table({
    caption: 'Usage by key',
    columns: [
      {
        title: 'Key',
        make: () =>
          opener(
            ({ key }) => key,
            ({ key }) => openKey(key),
          ),
      },
      ...USAGE_COLUMNS,
      { title: 'Last used', class: 'end', make: () => moment(({ lastUsedAt }) => lastUsedAt) },
    ],
  });
  const empty = emptyState(
    'Nothing was used yet.',
    'Requests, failures and cost are counted here per provider and key. Programs report cost with `manager.report(key, outcome, { costUsd })`.',
  );
  const details = el('details', {}, el('summary', {}, 'By key'), keys.element);
  let latest = [];
  const showKeys = () => details.open && keys.update(latest, ({ key }) => key);
  details.addEventListener('toggle', showKeys);
  body.append(scope, providers.element, details, empty);
  return {
    update(usage) {
      const isUsed = usage.keys.some(({ requests, costUsd }) => requests > 0 || costUsd > 0);
      setText(
        scope,
        usage.scope === 'fleet'
          ? 'Of all processes that share the store.'
          : 'The store is lost: only what this process knows.',
      );
      providers.update(usage.providers, ({ provider }) => provider);
      latest = usage.keys.toSorted((a, b) => b.requests - a.requests);
      showKeys();
      for (const part of [scope, providers.element, details]) setShown(part, isUsed);
      setShown(empty, !isUsed);
    },
  };
}

export function fleetView(body) {
  const summary = el('p', { class: 'lead' });
  const members = table({
    caption: 'Processes that share the store',
    columns: [
      { title: 'Host', make: () => textCell(({ host }) => host, 'name') },
      { title: 'Process', class: 'number', make: () => textCell(({ pid }) => String(pid)) },
      { title: 'Since', make: () => moment(({ startedAt }) => startedAt) },
      { title: 'Last seen', make: () => moment(({ seenAt }) => seenAt) },
      { title: 'Behind', class: 'number', make: () => textCell(({ behind }) => countText(behind)) },
      { title: 'Role', make: () => textCell(roleText, 'wrap') },
    ],
  });
  const leases = table({
    caption: 'Permits that are leased',
    columns: [
      { title: 'Bucket', make: () => textCell(({ bucket }) => bucket, 'name') },
      { title: 'Permits', class: 'number', make: () => textCell(({ permits }) => countText(permits)) },
      { title: 'Leases', class: 'number', make: () => textCell((lease) => countText(lease.leases)) },
    ],
  });
  const title = el('h3', {}, 'Leased permits');
  const empty = emptyState(
    'This gateway shares its state with nobody.',
    'With `store: { type: sqlite }` all processes of this machine use the same limits and cooldowns; with `type: redis`, all hosts.',
  );
  body.append(summary, members.element, title, leases.element, empty);
  return {
    update(fleet, state) {
      setText(summary, fleet.shared ? summaryText(fleet, state.fleet) : lostText(state.fleet));
      const own = state.fleet?.memberId;
      members.update(
        fleet.members.map((member) => ({ ...member, isOwn: member.memberId === own })),
        ({ memberId }) => memberId,
      );
      leases.update(fleet.leases, ({ bucket }) => bucket);
      // The gateway is one of a fleet also while nobody can say who else is.
      setShown(summary, fleet.shared || own !== undefined);
      setShown(members.element, fleet.members.length > 0);
      for (const part of [title, leases.element]) setShown(part, fleet.leases.length > 0);
      setShown(empty, !fleet.shared && own === undefined);
    },
  };
}

function roleText({ isOwn, leads }) {
  return [...(isOwn ? ['this gateway'] : []), ...(leads.length > 0 ? ['★ leader, probes for all'] : [])].join(
    ', ',
  );
}

/** Who shares the store is written there. */
function lostText(own) {
  if (own === undefined) return '';
  const size = counted(own.size, 'process', 'processes');
  return `The store does not answer. ${size} shared it when it last did; each keeps to its fair share until it is back.`;
}

function summaryText({ members, leases }, own) {
  const hosts = new Set(members.map(({ host }) => host)).size;
  const permits = leases.reduce((sum, lease) => sum + lease.permits, 0);
  const lost =
    own?.lostSince === undefined ? '' : ' The store does not answer: each process keeps to its fair share.';
  return `${counted(members.length, 'process', 'processes')} on ${counted(hosts, 'host', 'hosts')}, ${counted(permits, 'permit', 'permits')} leased.${lost}`;
}
