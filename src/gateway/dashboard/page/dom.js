/** Builds and updates the document. Text is only ever set as text, so that nothing that is shown can become markup. */

/**
 * @param {string} tag
 * @param {Record<string, string | number | boolean | undefined | ((event: Event) => void)>} [attributes]
 *   functions listen to the event of that name; `undefined` and `false` leave an attribute out
 * @param {...(Node | string)} children
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else setAttribute(element, name, value);
  }
  element.append(...children);
  return element;
}

/** Touches the document only where something differs. */
export function setAttribute(element, name, value) {
  if (value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows or hides. */
export function setShown(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/**
 * Makes the children of a parent those of a list, in its order. A child stays the same element as long as its item is
 * there, so that focus and selection stay where they are.
 * @template Item
 * @param {Element} parent
 * @param {readonly Item[]} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => Element & { update?: (item: Item) => void }} create
 */
export function syncChildren(parent, items, keyOf, create) {
  const known = new Map([...parent.children].map((child) => [child.itemKey, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = known.get(key);
    if (child === undefined) {
      child = create(item);
      child.itemKey = key;
    }
    known.delete(key);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    child.update?.(item);
  }
  for (const child of known.values()) child.remove();
}

/**
 * A table that becomes a list of cards where it is narrow: the roles are stated, since `display` takes them away.
 * @template Item
 * @param {{ caption: string, columns: readonly { title: string, class?: string, make: () => Element & { update: (item: Item) => void } }[] }} shape
 *   the first column is the head of its row
 */
export function table({ caption, columns }) {
  const body = el('tbody', { role: 'rowgroup' });
  const heads = columns.map(({ title, class: name }) =>
    el('th', { role: 'columnheader', scope: 'col', class: name }, title),
  );
  const element = el(
    'table',
    { role: 'table' },
    el('caption', { class: 'unseen' }, caption),
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...heads)),
    body,
  );
  const create = () => {
    const cells = columns.map(({ title, class: name, make }, index) => {
      const content = make();
      const attributes = { class: name, 'data-title': title };
      const cell =
        index === 0
          ? el('th', { role: 'rowheader', scope: 'row', ...attributes }, content)
          : el('td', { role: 'cell', ...attributes }, content);
      return { cell, content };
    });
    const row = el('tr', { role: 'row' }, ...cells.map(({ cell }) => cell));
    row.update = (item) => {
      for (const { content } of cells) content.update(item);
    };
    return row;
  };
  return { element, update: (items, keyOf) => syncChildren(body, items, keyOf, create) };
}

/** A span whose text follows from the item. */
export function textCell(textOf, name) {
  const element = el('span', { class: name });
  element.update = (item) => setText(element, textOf(item));
  return element;
}

/** Whoever comes to an empty place learns what would fill it. */
export function emptyState(title, ...lines) {
  return el(
    'div',
    { class: 'empty' },
    el('p', { class: 'empty-title' }, title),
    ...lines.map((line) => el('p', {}, ...rich(line))),
  );
}

/** Text in which `…` marks what is typed. */
export function rich(text) {
  return text.split('`').map((part, index) => (index % 2 === 0 ? part : el('code', {}, part)));
}
