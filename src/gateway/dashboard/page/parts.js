/** Small parts that several sections show. */
import { el, setAttribute, setShown, setText, syncChildren } from './dom.js';
import { countText, relativeText, sourceText, windowText } from './words.js';

/** Icon, word and colour. */
export function badge(badgeOfItem, name = '') {
  const icon = el('span', { class: 'badge-icon', 'aria-hidden': 'true' });
  const word = el('span');
  const element = el('span', { class: `badge ${name}` }, icon, word);
  element.update = (item) => {
    const shown = badgeOfItem(item);
    setAttribute(element, 'data-tone', shown.tone);
    setText(icon, shown.icon);
    setText(word, shown.word);
  };
  return element;
}

/** A moment that is told as a distance, and kept so by `tick`. */
export function moment(atOf, prefix = '') {
  const element = el('time', { class: 'moment' });
  element.update = (item) => {
    const at = atOf(item);
    setShown(element, at !== undefined);
    if (at === undefined) return element.removeAttribute('data-at');
    setAttribute(element, 'data-at', at);
    setAttribute(element, 'data-prefix', prefix === '' ? undefined : prefix);
    setAttribute(element, 'title', new Date(at).toLocaleString('en-GB'));
    setAttribute(element, 'datetime', new Date(at).toISOString());
    tickOne(element, clock.now());
  };
  return element;
}

/** The time of the gateway, by which all moments are told. */
export const clock = {
  offsetMs: 0,
  now() {
    return Date.now() + this.offsetMs;
  },
};

/** Tells every moment on the page anew. */
export function tick() {
  const now = clock.now();
  for (const element of document.querySelectorAll('time[data-at]')) tickOne(element, now);
}

function tickOne(element, now) {
  setText(element, `${element.dataset.prefix ?? ''}${relativeText(Number(element.dataset.at), now)}`);
}

/** Until when something rests, and who said so. */
export function deadline() {
  const time = moment(({ until }) => until, 'back ');
  const source = el('span', { class: 'muted' });
  const element = el('span', { class: 'deadline' }, time, ' ', source);
  element.update = (item) => {
    time.update(item);
    setText(source, item.until === undefined ? '' : sourceText(item.source));
  };
  return element;
}

/**
 * What is left of each window of a key.
 * @returns {{ name: string, left: number, limit: number | undefined }[]}
 */
export function allowancesOf({ limits, permitsLeft, stated }) {
  const windows = limits.map(({ requests, perMs, stated: lower, left }) => ({
    name: `per ${windowText(perMs)}`,
    limit: lower ?? requests,
    left,
  }));
  const told = windows.filter(({ left }) => left !== undefined);
  if (told.length === 0 && permitsLeft !== undefined && windows.length > 0) {
    const tightest = windows.find(({ limit }) => permitsLeft <= limit) ?? windows[0];
    const name = windows.length === 1 ? tightest.name : 'in the tightest window';
    told.push({
      ...tightest,
      name,
      left: permitsLeft,
      limit: windows.length === 1 ? tightest.limit : undefined,
    });
  }
  if (stated !== undefined && stated.kind !== 'returning') {
    told.push({ name: 'as the provider says', left: stated.left, limit: stated.limit });
  }
  return told;
}

/** Bars of what is left; the figures stand beside them. */
export function allowance(itemOf = (item) => item) {
  const element = el('span', { class: 'allowances' });
  element.update = (item) => {
    const key = itemOf(item);
    const shown = allowancesOf(key);
    syncChildren(
      element,
      shown.length === 0 ? [undefined] : shown,
      (one) => one?.name ?? '',
      (one) => (one === undefined ? untold() : bar(key.id)),
    );
    if (shown.length === 0) setText(element.firstElementChild, untoldText(key));
  };
  return element;
}

function untold() {
  return el('span', { class: 'muted' });
}

/** Where limits are known, but not what is left of them. */
function untoldText({ limits }) {
  if (limits.length === 0) return 'no known limit';
  return limits
    .map(({ requests, stated, perMs }) => `${countText(stated ?? requests)} per ${windowText(perMs)}`)
    .join(', ');
}

function bar(keyId) {
  const fill = el('span', { class: 'bar-fill' });
  const track = el('span', { class: 'bar', role: 'meter', 'aria-valuemin': 0 }, fill);
  const text = el('span', { class: 'bar-text' });
  const element = el('span', { class: 'allowance' }, track, text);
  element.update = ({ name, left, limit }) => {
    const figures =
      limit === undefined ? `${countText(left)} left` : `${countText(left)} of ${countText(limit)}`;
    setShown(track, limit !== undefined);
    if (limit !== undefined) {
      setAttribute(track, 'aria-label', `Left of ${keyId} ${name}`);
      setAttribute(track, 'aria-valuemax', limit);
      setAttribute(track, 'aria-valuenow', Math.min(left, limit));
      setAttribute(track, 'aria-valuetext', `${figures} ${name}`);
      const share = limit === 0 ? 0 : Math.min(1, left / limit);
      setAttribute(track, 'data-tone', share === 0 ? 'bad' : share <= 0.2 ? 'warn' : 'good');
      fill.style.width = `${(share * 100).toFixed(1)}%`;
    }
    setText(text, `${figures} ${name}`);
  };
  return element;
}

/** A button that opens something of the item. */
export function opener(textOf, open, labelOf) {
  let current;
  const element = el('button', { type: 'button', class: 'link', click: () => open(current) });
  element.update = (item) => {
    current = item;
    setText(element, textOf(item));
    if (labelOf !== undefined) setAttribute(element, 'aria-label', labelOf(item));
  };
  return element;
}
