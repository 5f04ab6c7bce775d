// Loaded into every process and thread of the demo beside keymux, never into yours: writes what keymux tells on its
// diagnostics channels as lines of JSON to the pipe that the demo opened as file descriptor 3.
'use strict';
const { subscribe } = require('node:diagnostics_channel');
const { writeSync } = require('node:fs');

const PIPE = 3;

for (const name of ['failover', 'cooldown', 'rejected', 'recovered', 'quota', 'exhausted', 'degraded']) {
  subscribe(`keymux:${name}`, (event) => {
    try {
      writeSync(PIPE, `${JSON.stringify({ name, event })}\n`);
    } catch {
      // The demo is gone, and with it everybody who wanted to know.
    }
  });
}
