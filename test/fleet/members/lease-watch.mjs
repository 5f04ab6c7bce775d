// Follows what a store leases to this process, and finds permits that are spent when no lease covers them any more.
export class LeaseWatch {
  /** Permits that were spent without a lease, and not charged as such either. */
  stale = 0;
  /** Permits whose lease ended before they were spent. */
  lapsed = 0;
  store;
  #leases = [];

  constructor(store) {
    this.store = new Proxy(store, {
      get: (target, name) => {
        const value = target[name];
        if (typeof value !== 'function') return value;
        if (name === 'lease') return (request) => this.#noting(target.lease(request));
        if (name === 'charge') {
          return (charges, options) => {
            for (const { permits } of charges) this.stale -= permits;
            return target.charge(charges, options);
          };
        }
        return value.bind(target);
      },
    });
  }

  /** The manager handed out one permit at this moment of the store's time. */
  spent(now) {
    for (const lease of this.#leases) if (lease.validUntil <= now) this.lapsed += lease.permits;
    this.#leases = this.#leases.filter(({ permits, validUntil }) => permits > 0 && validUntil > now);
    const lease = this.#leases[0];
    if (lease === undefined) this.stale += 1;
    else lease.permits -= 1;
  }

  #noting(answer) {
    if (answer instanceof Promise) return answer.then((grant) => this.#noting(grant));
    this.#leases.push({ permits: answer.granted, validUntil: answer.validUntil });
    return answer;
  }
}
