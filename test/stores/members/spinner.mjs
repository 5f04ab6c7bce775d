// Holds the write lock of a database without ever going to sleep, until a file appears.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const [path, signal] = process.argv.slice(2);
const Database = createRequire(import.meta.url)('libsql');
const db = new Database(path, { timeout: 1_000 });
db.exec('BEGIN IMMEDIATE; UPDATE clock SET id = 1');
await new Promise((resolve) => process.send('held', resolve));
while (!existsSync(signal));
db.exec('COMMIT');
process.send('let go');
process.disconnect();
