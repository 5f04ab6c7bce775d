// One writer among several, or one that is killed at a step. Arguments: what to do, the vault, its key, the state folder.
import { readEnvironment } from '#keymux/config/environment.js';
import { readVaultKey } from '#keymux/config/vault-key.js';
import { accessWith } from '#keymux/config/vault-opened.js';
import { rotateInPlace } from '#keymux/config/vault-rotation.js';
import { changeVault } from '#keymux/config/vault-write.js';

const [what, path, folder, detail] = process.argv.slice(2);
const definition = { path, key: 'file:vault.key', folder };
const environment = readEnvironment(process.env, folder);
const access = accessWith(definition, environment, readVaultKey(definition, environment));
const onStep = (step) => {
  process.stdout.write(`${step}\n`);
  if (step === detail) process.kill(process.pid, 'SIGKILL');
};

if (what === 'rotate') await rotateInPlace(access, { onStep });
if (what === 'set') await changeVault(access, (draft) => draft.set('acme/new', 'new'), { onStep });
if (what === 'fill') {
  for (let turn = 0; turn < 5; turn += 1)
    await changeVault(access, (draft) => draft.set(`${detail}/${turn}`, `value of ${detail}`));
}
