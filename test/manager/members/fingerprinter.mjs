// Asks for the key of the fingerprints of a state file, and prints it.
import { chooseStore, fingerprintKeyFor } from '../../../dist/manager/store-choice.js';

const definition = { type: 'sqlite', path: process.argv[2] };
const store = chooseStore(definition, { now: Date.now, onNotice: () => {} });
process.stdout.write(Buffer.from(fingerprintKeyFor(store, definition)).toString('hex'));
