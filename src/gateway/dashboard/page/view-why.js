import { el, emptyState, setShown, setText, syncChildren, table, textCell } from './dom.js';
import { badge, deadline, moment, opener } from './parts.js';
import {
  REQUEST_ENDS,
  UNDER_WAY,
  badgeOf,
  counted,
  durationText,
  latencyText,
  outcomeBadge,
  reasonText,
} from './words.js';

/** The others are shown when they are asked for. */
const FIRST_REQUESTS = 8;

/** Why the next request of a service gets its key, and what became of the latest requests. */
export function whyView(body, { onChange, openKey, openRequest }) {
  const service = el('select', { id: 'why-service', change: onChange });
  const verdict = el('p', { class: 'verdict' });
  const candidates = candidateTable(openKey);
  const requests = requestTable(openRequest);
  const noService = emptyState(
    'Nothing to explain yet.',
    'As soon as there are services with keys, this tells which key is next and why.',
  );
  const noRequests = emptyState(
    'No requests yet.',
    'Send one through the gateway; what was decided for it is told here, attempt by attempt.',
  );
  const tools = el('div', { class: 'tools' }, el('label', {}, 'Next request of ', service));
  const more = el('button', { type: 'button' });
  let shown = [];
  let most = FIRST_REQUESTS;
  const showRequests = () => {
    requests.update(shown.slice(0, most), ({ requestId }) => requestId);
    setShown(requests.element, shown.length > 0);
    setShown(noRequests, shown.length === 0);
    setShown(more, shown.length > most);
    setText(more, `Show ${shown.length - most} more`);
  };
  more.addEventListener('click', () => {
    most = Number.POSITIVE_INFINITY;
    showRequests();
  });
  const now = el('div', {}, tools, verdict, candidates.element);
  body.append(now, noService, el('h3', {}, 'Latest requests'), requests.element, more, noRequests);
  return {
    query: () => (service.value === '' ? undefined : service.value),
    choose(name) {
      service.value = name;
      service.focus();
      body.parentElement.scrollIntoView({ block: 'start' });
    },
    offer({ services, providers }) {
      const names = [...new Set([...services.map(({ name }) => name), ...providers.map(({ id }) => id)])];
      syncChildren(
        service,
        names,
        (name) => name,
        (name) => el('option', { value: name }, name),
      );
      setShown(now, names.length > 0);
      setShown(noService, names.length === 0);
    },
    explain({ service: name, strategy, next, candidates: all }) {
      setText(
        verdict,
        next === undefined
          ? `✗ No key of ${name} can be used now.`
          : `● ${next} serves the next request of ${name}, by the strategy ${strategy}.`,
      );
      candidates.update(
        all.map((candidate) => ({ ...candidate, isNext: candidate.key === next })),
        ({ key }) => key,
      );
    },
    requests(latest) {
      shown = latest;
      showRequests();
    },
  };
}

/** Of the next request, or of one that was decided. */
export function candidateTable(openKey) {
  return table({
    caption: 'Candidates in the order of preference',
    columns: [
      {
        title: 'Key',
        make: () =>
          opener(
            ({ key }) => key,
            ({ key }) => openKey(key),
          ),
      },
      { title: 'Standing', make: () => badge(standingOf) },
      { title: 'Because', make: becauseCell },
    ],
  });
}

function standingOf({ isNext, usable }) {
  if (isNext) return { icon: '●', word: 'chosen', tone: 'good' };
  return usable
    ? { icon: '○', word: 'usable', tone: 'idle' }
    : { icon: '✗', word: 'passed over', tone: 'warn' };
}

function becauseCell() {
  const parts = [
    textCell(({ because }) => reasonText(because), 'wrap'),
    deadline(),
    textCell(factText, 'muted small wrap'),
  ];
  const element = el('span', { class: 'stack' }, ...parts);
  element.update = (candidate) => {
    for (const part of parts) part.update(candidate);
  };
  return element;
}

const KNOWN_BY = {
  stated: 'the provider said so',
  guessed: 'keymux guessed',
  counted: 'keymux counted',
  person: 'a person wanted it',
  observed: 'it follows from what is under way',
};

/** The rule that decided, which often names the status. */
function statusFacts({ status, evidence } = {}) {
  const isTold = status === undefined || evidence?.includes(String(status));
  return [...(isTold ? [] : [`status ${status}`]), ...(evidence === undefined ? [] : [evidence])];
}

/** How keymux knows what stands in the way of a candidate, from whom, and how long. */
export function factText({ fact, source: deadlineSource }) {
  if (fact === undefined) return '';
  const { source, seen, ageMs } = fact;
  return [
    // Beside a deadline stands where it comes from.
    ...(deadlineSource === undefined ? [KNOWN_BY[source] ?? source] : []),
    ...statusFacts(fact),
    ...(seen === 'elsewhere' ? ['met by another process'] : []),
    ...(ageMs === undefined ? [] : [`known for ${durationText(ageMs)}`]),
  ].join(' · ');
}

function requestTable(openRequest) {
  return table({
    caption: 'The latest requests, the newest first',
    columns: [
      {
        title: 'Request',
        make: () =>
          opener(
            ({ requestId }) => requestId,
            ({ requestId }) => openRequest(requestId),
          ),
      },
      { title: 'When', make: () => moment(({ last }) => last.at) },
      { title: 'Service', make: () => textCell(({ last }) => last.service) },
      { title: 'Outcome', make: () => badge(({ last }) => outcomeOf(last)) },
      {
        title: 'Keys',
        make: () =>
          textCell(({ attempts }) => attempts.map(({ chosen }) => chosen ?? 'none').join(' → '), 'wrap'),
      },
      {
        title: 'Latency',
        class: 'number',
        make: () =>
          textCell(({ last }) => (last.outcome === undefined ? '' : latencyText(last.outcome.latencyMs))),
      },
    ],
  });
}

/** Where no key could be had, there is no outcome to come. */
function outcomeOf({ chosen, outcome }) {
  return chosen === undefined ? { icon: '✗', word: 'no key', tone: 'bad' } : outcomeBadge(outcome?.kind);
}

/** The story of one request: each attempt, what it met, and why the others were passed over. */
export function requestStory(story, openKey) {
  const { service, at, end, durationMs, waitedMs, complete, attempts } = story;
  const facts = [
    `${service}, at ${new Date(at).toLocaleTimeString('en-GB')}`,
    counted(attempts.length, 'attempt', 'attempts'),
    ...(durationMs === undefined ? [] : [`took ${latencyText(durationMs)}`]),
    ...(waitedMs > 0 ? [`waited ${latencyText(waitedMs)} for a key`] : []),
    ...(complete ? [] : ['its first attempts are forgotten']),
  ];
  const state = badge(() => (end === undefined ? UNDER_WAY : badgeOf(REQUEST_ENDS, end)));
  state.update();
  return el(
    'div',
    {},
    el('p', {}, state, ' ', facts.join(' · ')),
    ...attempts.map((attempt) => attemptPart(attempt, openKey)),
  );
}

function attemptPart({ attempt, chosen, outcome, strategy, candidates }, openKey) {
  const rows = candidateTable(openKey);
  rows.update(
    candidates.map((candidate) => ({
      ...candidate,
      isNext: candidate.chosen,
      usable: candidate.passedOver === 'not-preferred',
    })),
    ({ key }) => key,
  );
  const result = badge(() => outcomeBadge(outcome?.kind));
  result.update();
  const facts = [
    ...statusFacts(outcome),
    ...(outcome === undefined ? [] : [`after ${latencyText(outcome.latencyMs)}`]),
    `strategy ${strategy}`,
  ].join(' · ');
  return el(
    'section',
    { class: 'attempt' },
    el('h3', {}, `Attempt ${attempt}: ${chosen ?? 'no key could be had'}`),
    el('p', {}, ...(chosen === undefined ? [] : [result, ' ']), facts),
    rows.element,
  );
}
