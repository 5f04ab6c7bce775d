// Loaded into a client program after keymux: with each answer everything is forgotten that was learnt about the keys,
// unless its parent asks for a memory.
import { MinimalMultiKeyManager } from '#keymux/index.js';

let isForgetful = true;

function forget() {
  const manager = MinimalMultiKeyManager.instance();
  for (const { id } of manager.inspect().keys) manager.reset(id);
}

process.on('message', ({ command, remembers = false }) => {
  if (command === undefined) return;
  forget();
  isForgetful = !remembers;
});
process.on('answered', () => {
  if (isForgetful) forget();
});
