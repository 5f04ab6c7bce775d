/**
 * An application with every client in it, told by its parent over IPC what to do next. It knows nothing of keymux.
 * `answered` on the process tells whoever listens that a request is over.
 */
import { onReply, targetOf, tellReplied } from './application.mjs';
import { followers } from './followers.mjs';
import { rows } from './rows.mjs';
import { describeError, stops } from './stops.mjs';

async function outcomeOf(work) {
  try {
    const answer = await work();
    return { answer: typeof answer === 'object' ? 'an answer' : answer };
  } catch (error) {
    return { error: describeError(error) };
  } finally {
    process.emit('answered');
  }
}

const commands = {
  async call({ row: name, times }) {
    const { call, site } = rows.find((row) => row.name === name);
    const outcomes = [];
    for (let time = 0; time < times; time += 1) outcomes.push(await outcomeOf(() => call(targetOf(site))));
    return outcomes;
  },

  /** `signal` fires when the parent says so, or has fired from the start. */
  async stop({ stop: name, early }) {
    const { call, site = 'bearer' } = stops.find((stop) => stop.name === name);
    const controller = new AbortController();
    if (early) controller.abort();
    else onReply('abort', () => controller.abort());
    return [await outcomeOf(() => call({ ...targetOf(site), signal: controller.signal }))];
  },

  /** All at once, each with a time limit of its own. */
  async expire({ stops: names }) {
    const chosen = stops.filter(({ name }) => names.includes(name));
    return Promise.all(chosen.map(({ call, site = 'bearer' }) => outcomeOf(() => call(targetOf(site)))));
  },

  async read({ variable }) {
    return [{ answer: process.env[variable] }];
  },

  /** The last status, or the error. */
  async follow({ follower, request }) {
    return [await outcomeOf(() => followers[follower](request))];
  },
};

process.on('message', async ({ id, command, reply, ...details }) => {
  if (command !== undefined) process.send({ id, outcomes: await commands[command](details) });
  tellReplied(reply);
});
process.on('disconnect', () => process.exit());

process.send({ event: 'ready' });
