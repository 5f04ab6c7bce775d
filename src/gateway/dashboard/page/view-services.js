import { emptyState, setShown, table, textCell } from './dom.js';
import { badge, opener } from './parts.js';

/** The services, the key that each would use now, and the way to the reasons. */
export function servicesView(body, { openKey, showWhy }) {
  const rows = table({
    caption: 'Services and the key of their next request',
    columns: [
      { title: 'Service', make: () => textCell(({ name }) => name, 'name') },
      { title: 'Next key', make: () => nextCell(openKey) },
      { title: 'Strategy', make: () => textCell(({ strategy }) => strategy) },
      { title: 'Providers', make: () => textCell(({ providers }) => providers.join(', '), 'wrap') },
      {
        title: 'Why',
        class: 'end',
        make: () =>
          opener(
            () => 'Why?',
            ({ name }) => showWhy(name),
            ({ name }) => `Why this key for ${name}?`,
          ),
      },
    ],
  });
  const empty = emptyState(
    'No services yet.',
    'A service is an ordered list of providers under one name. Each provider is also reached by its own name.',
    'Write `services:` into keymux.config.yaml, or ask `keymux init` for a first file.',
  );
  body.append(rows.element, empty);
  return {
    update({ services }) {
      rows.update(services, ({ name }) => name);
      setShown(rows.element, services.length > 0);
      setShown(empty, services.length === 0);
    },
  };
}

function nextCell(openKey) {
  const element = document.createElement('span');
  const key = opener(
    ({ next }) => next ?? '',
    ({ next }) => openKey(next),
  );
  const none = badge(() => ({ icon: '✗', word: 'every key is out', tone: 'bad' }));
  element.append(key, none);
  element.update = (service) => {
    setShown(key, service.next !== undefined);
    setShown(none, service.next === undefined);
    key.update(service);
    none.update(service);
  };
  return element;
}
