// Who used which key, and when, in files that nobody can change unseen.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyManager } from 'keymux';
import { auditOnce, startAudit, verifyAudit } from 'keymux/audit';

const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
const path = join(folder, 'audit');
// Where the signing key and the anchor are kept; default: the user's state directory.
process.env.KEYMUX_STATE_DIR = folder;
const manager = createKeyManager({
  env: { ACME_API_KEY: 'key-one' },
  config: {
    store: { type: 'memory' },
    audit: { path },
    providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } },
  },
});

const audit = startAudit(manager);
manager.getApiKey('acme');
manager.getApiKey('acme');
await manager.disable('acme/main');
audit.flush();
for (const { type, data } of audit.last(10))
  console.log(type, data.key ?? data.subject ?? '', data.count ?? data.action ?? '');
audit.stop();
// What runs for a moment only, such as a script that changes a file by hand, leaves one record.
auditOnce(manager.configuration, { type: 'administered', data: { action: 'restore a backup' } });
await manager.shutdown();

console.log('as it was written:', (await verifyAudit(path)).ok);
for (const file of readdirSync(path)) {
  const lines = readFileSync(join(path, file), 'utf8');
  writeFileSync(join(path, file), lines.replace('"disable"', '"enable"'));
}
const { ok, faults } = await verifyAudit(path);
console.log('after somebody changed a word:', ok, `line ${faults[0]?.line}: ${faults[0]?.why}`);
rmSync(folder, { recursive: true });
