// A program that runs several agents, each in a worker thread of its own.
import { Worker } from 'node:worker_threads';

for (const agent of process.argv.slice(2)) new Worker(new URL(agent, import.meta.url));
