import { startAudit } from '#keymux/observe/audit.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager } from '../manager/acme.js';
import { auditPlace } from '../observe/audit-folder.js';
import { CANARY, ownServer } from './own-server.js';

describe('GET /-/api/audit', () => {
  it('shows the newest records to administrators, checked where that is asked for', async () => {
    const place = auditPlace();
    const manager = acmeManager({ keys: [`${CANARY}-one`] });
    const audit = startAudit(manager, place.options);
    onTestFinished(() => audit.stop());
    const { ask } = await ownServer({ manager, audit });
    expect((await ask('/api/keys/acme/main/disable', { method: 'POST' })).status).toBe(200);
    const answer = await ask('/api/audit?last=1');
    expect(answer.json).toMatchObject({
      records: [
        {
          type: 'administered',
          data: { action: 'disable', subject: 'acme/main', by: 'gateway token admin' },
        },
      ],
    });
    expect(answer.text).not.toContain(CANARY);
    const checked = await ask('/api/audit?verify=1');
    expect(checked.json).toMatchObject({ verdict: { ok: true, files: 1, faults: [] } });
    expect((await ask('/api/audit', { token: 'read' })).status).toBe(403);
    expect((await ask('/api/audit?last=0')).status).toBe(400);
  });

  it('says where no trail is kept', async () => {
    const { ask } = await ownServer();
    expect((await ask('/api/audit')).status).toBe(404);
  });
});
