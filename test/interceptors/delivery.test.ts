import { Delivery } from '#keymux/interceptors/delivery.js';
import { describe, expect, it } from 'vitest';

describe('a delivery', () => {
  it('hands on in order, and stops where the receiver wants no more', () => {
    const got: number[] = [];
    let resumed = 0;
    const delivery = new Delivery(() => (resumed += 1));
    const part = (number: number, wantsMore: boolean) => () => {
      got.push(number);
      return wantsMore;
    };
    expect(delivery.push(part(1, true))).toBe(true);
    expect(delivery.push(part(2, false))).toBe(false);
    expect(delivery.push(part(3, true))).toBe(false);
    expect(got).toEqual([1, 2]);
    delivery.resume();
    expect(got).toEqual([1, 2, 3]);
    expect(resumed).toBe(1);
  });

  it('lets a part bring the next one along, which waits for its turn', () => {
    const got: string[] = [];
    const delivery = new Delivery(() => {});
    delivery.push(() => {
      delivery.push(() => {
        got.push('second');
        return true;
      });
      got.push('first');
      return true;
    });
    expect(got).toEqual(['first', 'second']);
  });

  it('does not resume the source while a part is being handed on, nor before all are', () => {
    let resumed = 0;
    const delivery = new Delivery(() => (resumed += 1));
    delivery.push(() => {
      delivery.resume();
      return true;
    });
    expect(resumed).toBe(0);
    delivery.push(() => false);
    delivery.push(() => false);
    delivery.resume();
    expect(resumed).toBe(0);
    delivery.resume();
    expect(resumed).toBe(1);
  });

  it('forgets what it has not handed on, and goes on after a part that throws', () => {
    const got: string[] = [];
    const delivery = new Delivery(() => {});
    delivery.push(() => false);
    delivery.push(() => {
      got.push('forgotten');
      return true;
    });
    delivery.clear();
    delivery.resume();
    expect(() =>
      delivery.push(() => {
        throw new Error('the receiver failed');
      }),
    ).toThrow('the receiver failed');
    delivery.resume();
    expect(delivery.push(() => true)).toBe(true);
    expect(got).toEqual([]);
  });
});
