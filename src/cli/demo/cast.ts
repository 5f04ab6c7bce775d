/** Who appears in the demo: eleven programs as their authors might have written them, without a word of keymux. */
import { fileURLToPath } from 'node:url';

export interface Agent {
  /** As it calls itself in its reports. */
  readonly name: string;
  readonly provider: string;
  /** The client by which it sends its requests, as shown. */
  readonly client: string;
  /** The npm package of that client; absent for what is built into Node. */
  readonly packageName?: string;
  /** Its program, in `agents/`. */
  readonly file: string;
  /** The same work with what is built into Node. */
  readonly twin?: string;
  readonly runsAs: 'thread' | 'process';
  /** The package that is not installed, where this is the twin of the agent that uses it. */
  readonly standsInFor?: string;
  /** Pieces of work that it does. */
  readonly pieces: number;
}

const CAST: readonly Agent[] = [
  {
    name: 'quotes',
    provider: 'alpha_vantage',
    client: 'built-in fetch',
    file: 'quotes-fetch.mjs',
    runsAs: 'thread',
    pieces: 55,
  },
  {
    name: 'prices',
    provider: 'alpha_vantage',
    client: 'superagent',
    packageName: 'superagent',
    file: 'prices-superagent.mjs',
    twin: 'prices-builtin.mjs',
    runsAs: 'process',
    pieces: 55,
  },
  {
    name: 'screener',
    provider: 'finnhub',
    client: 'node:http',
    file: 'screener-http.mjs',
    runsAs: 'thread',
    pieces: 120,
  },
  {
    name: 'feed',
    provider: 'finnhub',
    client: 'ws (WebSocket)',
    packageName: 'ws',
    file: 'feed-ws.mjs',
    twin: 'feed-builtin.mjs',
    runsAs: 'process',
    pieces: 10,
  },
  {
    name: 'chat',
    provider: 'openai',
    client: 'openai SDK',
    packageName: 'openai',
    file: 'chat-openai.mjs',
    twin: 'chat-builtin.mjs',
    runsAs: 'process',
    pieces: 50,
  },
  {
    name: 'writer',
    provider: 'openai',
    client: 'openai SDK, stream',
    packageName: 'openai',
    file: 'writer-openai-stream.mjs',
    twin: 'writer-builtin.mjs',
    runsAs: 'thread',
    pieces: 40,
  },
  {
    name: 'analyst',
    provider: 'anthropic',
    client: 'Anthropic SDK',
    packageName: '@anthropic-ai/sdk',
    file: 'analyst-anthropic.mjs',
    twin: 'analyst-builtin.mjs',
    runsAs: 'process',
    pieces: 40,
  },
  {
    name: 'trader',
    provider: 'acme',
    client: 'axios (POST)',
    packageName: 'axios',
    file: 'trader-axios.mjs',
    twin: 'trader-builtin.mjs',
    runsAs: 'process',
    pieces: 80,
  },
  {
    name: 'news',
    provider: 'newswire',
    client: 'got (https)',
    packageName: 'got',
    file: 'news-got.mjs',
    twin: 'news-builtin.mjs',
    runsAs: 'thread',
    pieces: 60,
  },
  {
    name: 'archive',
    provider: 'newswire',
    client: 'node-fetch (https)',
    packageName: 'node-fetch',
    file: 'archive-node-fetch.mjs',
    twin: 'archive-builtin.mjs',
    runsAs: 'process',
    pieces: 60,
  },
  {
    name: 'candles',
    provider: 'tickstore',
    client: 'undici',
    packageName: 'undici',
    file: 'candles-undici.mjs',
    twin: 'candles-builtin.mjs',
    runsAs: 'thread',
    pieces: 90,
  },
];

/** The eleven; where a client is not installed its agent is replaced by the built-in twin. */
export function castFor(isThere: (packageName: string) => boolean): Agent[] {
  return CAST.map((agent) => {
    const { packageName, twin, ...rest } = agent;
    if (packageName === undefined || twin === undefined || isThere(packageName)) return agent;
    return { ...rest, file: twin, client: 'built-in', standsInFor: packageName };
  });
}

/** Whether the agents of this package can load a package. */
export function isInstalled(packageName: string): boolean {
  try {
    import.meta.resolve(packageName);
    return true;
  } catch {
    return false;
  }
}

/** How the agents are started: all threads by one host program, every other one by itself. */
export function programsOf(cast: readonly Agent[]): { agents: readonly Agent[]; args: string[] }[] {
  const folder = new URL('./agents/', import.meta.url);
  const pathOf = (file: string): string => fileURLToPath(new URL(file, folder));
  const threads = cast.filter(({ runsAs }) => runsAs === 'thread');
  const processes = cast.filter(({ runsAs }) => runsAs === 'process');
  return [
    { agents: threads, args: [pathOf('host.mjs'), ...threads.map(({ file }) => `./${file}`)] },
    ...processes.map((agent) => ({ agents: [agent], args: [pathOf(agent.file)] })),
  ];
}
