/** Signs in, keeps the board fresh, and says what is wrong where that does not work. */
import { createBoard } from './board.js';
import { el, rich, setAttribute, setShown, setText } from './dom.js';
import { Gateway, sleep } from './gateway.js';
import { clock, tick } from './parts.js';
import { findToken, forgetToken, keepToken, useScheme } from './session.js';
import { clockText, durationText } from './words.js';

/** How often the state is asked for, and how often the rest. Milliseconds. */
const REFRESH_MS = 2_000;
const SLOW_REFRESH_MS = 6_000;
/** After an event, so that a storm of them costs one question. Milliseconds. */
const WAKE_MS = 150;
/** Nobody looks. Milliseconds. */
const HIDDEN_REFRESH_MS = 20_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;

const byId = (id) => document.getElementById(id);

/** The session that is shown. */
let gateway;
/** When the gateway answered last; undefined before the first answer. By this computer's clock. */
let answeredAt;
let failure;
/** Ends the pause before the next question. */
let pause = new AbortController();

useScheme(byId('scheme'));
byId('starting').hidden = true;
byId('login-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = byId('token');
  keepToken(field.value.trim());
  field.value = '';
  signIn();
});
byId('sign-out').addEventListener('click', () => {
  forgetToken();
  askForToken();
});
document.addEventListener('visibilitychange', () => pause.abort());
window.addEventListener('online', () => pause.abort());
window.addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) signIn();
});
setInterval(() => {
  tick();
  showConnection();
}, 1_000);
signIn();

function signIn() {
  const token = findToken();
  gateway?.close();
  if (token === undefined) return askForToken();
  gateway = new Gateway(token);
  answeredAt = undefined;
  failure = undefined;
  setShown(byId('login'), false);
  run(gateway).catch(stumbled);
}

/** A fault of the page itself: better to say so than to stand still. */
function stumbled(error) {
  showTrouble('The page made a mistake.', `${error.message}. Load it again.`);
}

function askForToken(problem) {
  gateway?.close();
  gateway = undefined;
  forgetToken();
  showTrouble();
  for (const id of ['board', 'sections', 'sign-out', 'connection']) setShown(byId(id), false);
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  byId('login-problem').replaceChildren(...rich(problem ?? ''));
  setShown(byId('login-problem'), problem !== undefined);
  setShown(byId('login'), true);
  byId('token').focus();
}

/** Until the session ends. */
async function run(session) {
  let board;
  let pauseMs = FIRST_PAUSE_MS;
  let slowAt = 0;
  while (!session.closed) {
    try {
      board ??= await openBoard(session);
      await board.refresh();
      if (performance.now() >= slowAt) {
        await board.refreshSlowly();
        slowAt = performance.now() + SLOW_REFRESH_MS;
      }
      if (session.closed) return;
      answered();
      pauseMs = FIRST_PAUSE_MS;
      await rest(document.hidden ? HIDDEN_REFRESH_MS : REFRESH_MS);
    } catch (error) {
      if (session.closed) return;
      if (error.status === undefined) throw error;
      if (error.status === 401)
        return askForToken(
          'The gateway does not know this token, or no longer. Ask `keymux serve` for a new one.',
        );
      if (error.status === 403)
        return askForToken(
          'This token may send requests, but not look. Use one with the role read or admin.',
        );
      failure = { error, nextAt: Date.now() + pauseMs };
      showConnection();
      await rest(pauseMs * (0.75 + Math.random() / 2));
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
    }
  }
}

async function openBoard(session) {
  // Tells of a wrong token before anything is shown.
  await session.get('state');
  const mayChange = await session.mayChange();
  const board = createBoard({ gateway: session, mayChange, wake });
  for (const id of ['board', 'sections', 'sign-out', 'connection']) setShown(byId(id), true);
  setAttribute(byId('connection'), 'data-role', mayChange ? 'admin' : 'read');
  void session.followEvents({ onEvent: (event) => session.closed || board.tell(event), onOpen: wake });
  return board;
}

let waking;
function wake() {
  waking ??= setTimeout(() => {
    waking = undefined;
    pause.abort();
  }, WAKE_MS);
}

async function rest(ms) {
  pause = new AbortController();
  await sleep(ms, pause.signal);
}

function answered() {
  answeredAt = Date.now();
  failure = undefined;
  showConnection();
}

function showConnection() {
  if (gateway === undefined) return;
  const role = byId('connection').dataset.role === 'admin' ? 'admin' : 'read-only';
  if (failure === undefined) {
    showTrouble();
    setAttribute(byId('connection'), 'data-tone', 'good');
    return setText(byId('connection'), answeredAt === undefined ? '… connecting' : `● live, ${role}`);
  }
  setAttribute(byId('connection'), 'data-tone', 'bad');
  setText(byId('connection'), '✗ not connected');
  const { error } = failure;
  const old =
    answeredAt === undefined
      ? 'Nothing could be shown yet.'
      : `What you see is from ${clockText(answeredAt + clock.offsetMs, clock.now())}, ${durationText(Math.floor((Date.now() - answeredAt) / 1_000) * 1_000)} ago.`;
  showTrouble(error.message, `${error.fix} The page goes on trying by itself.`, old);
}

/** The sentence that grows older is no part of what is read aloud each time. */
function showTrouble(title, fix, old = '') {
  const place = byId('trouble');
  byId('board').classList.toggle('stale', title !== undefined);
  // An open panel covers what is said above.
  setText(byId('panel-trouble'), title === undefined ? '' : `✗ ${title}`);
  setShown(byId('panel-trouble'), title !== undefined);
  if (title === undefined) return place.replaceChildren();
  if (place.dataset.text !== `${title}${fix}` || place.childElementCount === 0) {
    place.dataset.text = `${title}${fix}`;
    place.replaceChildren(
      el('p', {}, el('strong', {}, `✗ ${title}`), ' ', ...rich(fix)),
      el('p', { class: 'old', 'aria-live': 'off' }),
    );
  }
  setText(place.querySelector('.old'), old);
}
