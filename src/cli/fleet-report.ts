export { fleetReport } from '../manager/fleet-report.js';
export type { FleetReport, MemberReport } from '../manager/fleet-report.js';
