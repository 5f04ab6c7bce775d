/** One listener for all managers: Node warns of a leak where there are more than ten. */
const lastWords = new Set<() => void>();

/** Calls back when the process ends by itself; only what is synchronous is done then. */
export function onProcessExit(work: () => void): () => void {
  if (lastWords.size === 0) process.on('exit', sayAll);
  lastWords.add(work);
  return () => {
    lastWords.delete(work);
    if (lastWords.size === 0) process.off('exit', sayAll);
  };
}

function sayAll(): void {
  for (const work of lastWords) work();
}
