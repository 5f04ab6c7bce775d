/** The audit trail, for programs that make their key managers themselves. */
export { auditOnce, startAudit } from './observe/audit.js';
export type { Audit, AuditOptions } from './observe/audit.js';
export { verifyAudit } from './observe/audit-verify.js';
export type { VerifyOptions } from './observe/audit-verify.js';
export type { AuditFault, AuditRecord, AuditVerdict, FoundRecord } from './manager/audit-view.js';
export type { AdministeredEvent } from './manager/events.js';
