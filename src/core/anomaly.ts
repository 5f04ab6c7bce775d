/** What is unusual about the use of a key. */
export const ANOMALY_KINDS = ['rate', 'new-caller', 'new-origin', 'hours', 'outside-use'] as const;

export type AnomalyKind = (typeof ANOMALY_KINDS)[number];
