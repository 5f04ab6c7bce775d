/** What is unusual about the use of a key. */
export const ANOMALY_KINDS = ['rate', 'new-caller', 'new-origin', 'hours', 'outside-use'] as const;

export type AnomalyKind = (typeof ANOMALY_KINDS)[number];

/** Something unusual, in words and figures; never a secret. */
export interface Unusual {
  readonly kind: AnomalyKind;
  /** What was seen, and what is usual. */
  readonly evidence: string;
  /** What was measured, and from where on it is unusual; absent where nothing is counted. */
  readonly value?: number;
  readonly threshold?: number;
}

const ADVICE: Readonly<Record<AnomalyKind, string>> = {
  rate: 'Look which program sends them: a loop, a stolen key, or new work. If it is meant, nothing needs doing; it is usual from tomorrow on.',
  'new-caller':
    'Look whether you deployed or started it. If nobody did, disable the key, and replace it at its provider.',
  'new-origin':
    'Look which program asks for it, and whether a dependency or a prompt made it. A key was sent to nobody but its own provider.',
  hours:
    'Look which program was at work then. If nobody knows it, disable the key, and replace it at its provider.',
  'outside-use':
    'Somebody else spends this key: a program without keymux, or whoever stole it. If you know of none, replace the key at its provider.',
};

/** What a person does about it. */
export function adviceOn(kind: AnomalyKind): string {
  return ADVICE[kind];
}
