/** The store of one machine: a SQLite file that all processes share. */
export { createSqliteStore } from './stores/sqlite/store.js';
export type { SqliteStoreOptions } from './stores/sqlite/store.js';
