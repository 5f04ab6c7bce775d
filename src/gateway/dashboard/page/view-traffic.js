import { el, syncChildren } from './dom.js';
import { plot } from './plot.js';
import { countText, latencyText, percentText } from './words.js';

/** Latency, failures and attempts of one provider or key over the last while. */
export function trafficView(body, { onChange }) {
  const subject = el('select', { id: 'traffic-subject', change: onChange });
  const span = el(
    'select',
    { id: 'traffic-span', change: onChange },
    el('option', { value: '900000' }, '15 minutes'),
    el('option', { value: '3600000' }, 'an hour'),
  );
  const plots = trafficPlots();
  body.append(
    el('div', { class: 'tools' }, el('label', {}, 'Of ', subject), el('label', {}, 'Over ', span)),
    plots.element,
  );
  return {
    /** What to ask for; undefined while nothing is known yet. */
    query: () => (subject.value === '' ? undefined : { subject: subject.value, lastMs: Number(span.value) }),
    offer({ providers, keys }) {
      const names = [...providers, ...keys].map(({ id }) => id);
      syncChildren(
        subject,
        names,
        (name) => name,
        (name) => el('option', { value: name }, name),
      );
    },
    update: plots.update,
  };
}

/** Three plots side by side, or one below the other where it is narrow. */
export function trafficPlots() {
  const nothing = 'Nothing was sent in this time.';
  const plots = [
    plot({
      title: 'Latency',
      lines: [
        { name: 'median', style: 'solid', valueOf: ({ p50Ms }) => p50Ms },
        { name: '95th percentile', style: 'dashed', valueOf: ({ p95Ms }) => p95Ms },
      ],
      format: latencyText,
      nothing: 'No answer was good in this time.',
    }),
    plot({
      title: 'Failed attempts',
      lines: [{ name: 'share of attempts', style: 'solid', valueOf: failedShare }],
      format: percentText,
      nothing,
      top: 0.2,
    }),
    plot({
      title: 'Attempts',
      lines: [
        {
          name: 'per 10 s',
          style: 'solid',
          valueOf: ({ attempts }) => (attempts === 0 ? undefined : attempts),
        },
      ],
      format: (value) => countText(Math.round(value)),
      nothing,
      top: 4,
    }),
  ];
  return {
    element: el('div', { class: 'plots' }, ...plots),
    update(slots) {
      for (const one of plots) one.update(slots);
    },
  };
}

/** What the caller broke off, or did wrong, is nobody's failure. */
function failedShare({ attempts, outcomes }) {
  const counted = attempts - (outcomes.aborted ?? 0) - (outcomes['bad-request'] ?? 0);
  return counted === 0 ? undefined : 1 - (outcomes.success ?? 0) / counted;
}
