// Programs of a small company, whose day takes 288 slots: `node agents.mjs quotes|analyst|chat|nightly`. They know nothing of
// keymux, and are as irregular as such programs are: by chance, by the hour, and by what the simulated providers do.
import { setTimeout as delay } from 'node:timers/promises';

const [, , name] = process.argv;
const slotMs = Number(process.env.AGENT_SLOT_MS);
const from = Number(process.env.AGENT_FROM);
const until = Number(process.env.AGENT_UNTIL);

const slotNow = () => Math.floor((Date.now() - from) / slotMs);
const hourOf = (slot) => (slot % 288) / 12;
/** The first day is a workday, the second a Sunday. */
const isWorkday = (slot) => slot < 288;
const upTo = (most) => Math.floor(Math.random() * (most + 1));

async function ask(prefix, path) {
  const { [`${prefix}_URL`]: url, [`${prefix}_API_KEY`]: key } = process.env;
  try {
    const response = await fetch(url + path, { headers: { authorization: `Bearer ${key}` } });
    await response.text();
  } catch {
    // The next one may do.
  }
}

/** Spread over a slot, a few at a time. */
async function send(prefix, path, requests) {
  const end = from + (slotNow() + 1) * slotMs;
  for (let left = requests; left > 0; left -= 4) {
    await Promise.all(Array.from({ length: Math.min(4, left) }, () => ask(prefix, path)));
    await delay(Math.max(0, ((end - Date.now()) / left) * 3));
  }
}

async function everySlot(work) {
  for (let slot = slotNow(); Date.now() < until; slot = Math.max(slot + 1, slotNow())) {
    await delay(Math.max(0, from + slot * slotMs - Date.now()));
    await work(slot);
  }
}

const agents = {
  /** Polls while the market is open. */
  quotes: () =>
    everySlot(async (slot) => {
      const hour = hourOf(slot);
      if (!isWorkday(slot) || hour < 14.5 || hour >= 21) return;
      const isBusy = hour < 15 || hour >= 20.5;
      await send('MARKET', '/v1/quote', isBusy ? 20 + upTo(8) : 6 + upTo(4));
    }),
  /** Thinks in bursts, by day more often than at night. */
  analyst: async () => {
    let left = 0;
    await everySlot(async (slot) => {
      const isDay = isWorkday(slot) && hourOf(slot) >= 8 && hourOf(slot) < 19;
      if (left <= 0 && Math.random() < (isDay ? 0.06 : 0.008)) left = 10 + upTo(60);
      const requests = Math.min(left, 5 + upTo(15));
      left -= requests;
      await send('LLM', '/v1/chat', requests);
    });
  },
  /** Answers people around the clock, and warms up when it starts. */
  chat: async () => {
    await send('LLM', '/v1/models', 12);
    await everySlot(async (slot) => {
      const wave = 1 + Math.sin((2 * Math.PI * (hourOf(slot) - 9)) / 24);
      await send('LLM', '/v1/chat', upTo(Math.round((isWorkday(slot) ? 10 : 5) * wave)));
    });
  },
  /** Works through the news of a day, and ends. */
  nightly: async () => {
    for (let left = 120 + upTo(40); left > 0; left -= 50) {
      await send('NEWS', '/v1/news', Math.min(left, 50));
    }
  },
};

await agents[name]();
