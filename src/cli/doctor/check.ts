export interface Check {
  /** What was looked at; stable. */
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do; there is one unless all is well. */
  readonly fix?: string;
}

export function passed(name: string, message: string): Check {
  return { name, status: 'ok', message };
}

export function warned(name: string, message: string, fix: string): Check {
  return { name, status: 'warn', message, fix };
}

export function failed(name: string, message: string, fix: string): Check {
  return { name, status: 'fail', message, fix };
}
