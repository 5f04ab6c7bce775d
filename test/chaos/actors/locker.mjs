// A foreign program that takes the write lock of a SQLite file and keeps it until it is killed.
import { setTimeout as pause } from 'node:timers/promises';
import { connect, loadDriver } from '#keymux/stores/sqlite/driver.js';

const db = connect(loadDriver(), process.argv[2]);
for (;;) {
  try {
    db.exec('BEGIN IMMEDIATE');
    break;
  } catch {
    await pause(1);
  }
}
console.log('locked');
setInterval(() => {}, 1_000);
