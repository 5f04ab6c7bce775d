// Loaded into every agent beside keymux: writes what keymux tells of its store, and of keys, as lines of JSON to the
// pipe that the run opened as file descriptor 3.
'use strict';
const { subscribe } = require('node:diagnostics_channel');
const { writeSync } = require('node:fs');

const PIPE = 3;

for (const name of ['degraded', 'restored', 'rejected', 'cooldown', 'recovered', 'exhausted']) {
  subscribe(`keymux:${name}`, ({ message, subject }) => {
    const at = Number(process.hrtime.bigint()) / 1e6;
    try {
      writeSync(PIPE, `${JSON.stringify({ at, name, message: message ?? subject })}\n`);
    } catch {
      // The run is over.
    }
  });
}
