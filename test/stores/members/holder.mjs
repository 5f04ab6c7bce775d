// Holds an exclusive lock on a file until told to let go.
import { createRequire } from 'node:module';

const Database = createRequire(import.meta.url)('libsql');
const db = new Database(process.argv[2], { timeout: 1_000 });
db.exec('BEGIN EXCLUSIVE');
process.send('held');
process.once('message', (holdMs) => {
  setTimeout(() => {
    db.exec('ROLLBACK');
    process.disconnect();
  }, holdMs);
});
