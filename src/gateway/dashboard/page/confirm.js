/** Nothing is changed before a person said so a second time. */
import { rich, setShown, setText } from './dom.js';

export const ACTIONS = {
  disable: {
    verb: 'Disable',
    text: 'No process uses it until somebody enables it again. Requests under way finish.',
    isFor: ({ state }) => state !== 'disabled',
  },
  enable: {
    verb: 'Enable',
    text: 'It is used again by all processes, from the next request on.',
    isFor: ({ state }) => state === 'disabled',
  },
  reset: {
    verb: 'Reset',
    text: 'What is held against it, its bucket and its provider is forgotten: cooldown, rejection and circuit. If it is still refused, it rests again.',
    isFor: ({ state }) => state !== 'disabled',
  },
};

const byId = (id) => document.getElementById(id);

/**
 * Asks, does it, and closes once it is done; what fails is told in the dialog.
 * @param {keyof typeof ACTIONS} action
 * @param {string} keyId
 * @param {() => Promise<void>} work
 */
export function confirmAction(action, keyId, work) {
  const dialog = byId('confirm');
  const [yes, no, problem] = ['confirm-yes', 'confirm-no', 'confirm-problem'].map(byId);
  const { verb, text } = ACTIONS[action];
  setText(byId('confirm-title'), `${verb} ${keyId}?`);
  setText(byId('confirm-text'), text);
  setText(yes, verb);
  setShown(problem, false);
  yes.disabled = false;
  no.onclick = () => dialog.close();
  yes.onclick = async () => {
    yes.disabled = true;
    try {
      await work();
      dialog.close();
    } catch (error) {
      problem.replaceChildren(...rich(`${error.message} ${error.fix ?? ''}`));
      setShown(problem, true);
    }
    yes.disabled = false;
  };
  dialog.showModal();
  no.focus();
}
