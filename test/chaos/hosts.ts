/**
 * Hosts as network namespaces: each has two cables, one to the network of the store and one to that of the provider,
 * so that either can be cut. Everything, the bridges included, lives in namespaces of the run and goes with them.
 */
import { command } from './processes.js';
import type { Cleanup } from './processes.js';

const STORE_NETWORK = '10.77.0';
const PROVIDER_NETWORK = '10.78.0';

export interface Hosts {
  /** The namespace of a host. */
  namespaceOf(host: string): string;
  readonly storeNamespace: string;
  readonly storeAddress: string;
  readonly providerNamespace: string;
  readonly providerAddress: string;
  /** Cuts or mends the cable between a host, or the store itself, and the network of the store. */
  setStoreCable(host: string, isWhole: boolean): void;
}

export const STORE_HOST = 'store';

/** Why there can be no namespaces here; undefined where there can. */
export function whyNoHosts(): string | undefined {
  const probe = `kmx${process.pid}-probe`;
  try {
    command('ip', 'netns', 'add', probe);
  } catch (error) {
    return `network namespaces are not allowed here (${(error as Error).message})`;
  }
  try {
    command('ip', '-n', probe, 'link', 'add', 'probe', 'type', 'bridge');
    command('ip', '-n', probe, 'link', 'add', 'end-a', 'type', 'veth', 'peer', 'name', 'end-b');
    return undefined;
  } catch (error) {
    return `there are no virtual networks here (${(error as Error).message})`;
  } finally {
    command('ip', 'netns', 'del', probe);
  }
}

export function createHosts(names: readonly string[], cleanup: Cleanup): Hosts {
  const namespaceOf = (host: string): string => `kmx${process.pid}-${host}`;
  const network = namespaceOf('net');
  addNamespace(network, cleanup);
  for (const bridge of ['store', 'provider']) {
    command('ip', '-n', network, 'link', 'add', bridge, 'type', 'bridge');
    command('ip', '-n', network, 'link', 'set', bridge, 'up');
  }
  const plug = (host: string, bridge: 'store' | 'provider', address: string): void => {
    const [cable, namespace] = [cableOf(host, bridge), namespaceOf(host)];
    const peer = ['peer', 'name', bridge, 'netns', namespace];
    command('ip', 'link', 'add', cable, 'netns', network, 'type', 'veth', ...peer);
    command('ip', '-n', network, 'link', 'set', cable, 'master', bridge, 'up');
    command('ip', '-n', namespace, 'addr', 'add', `${address}/24`, 'dev', bridge);
    command('ip', '-n', namespace, 'link', 'set', bridge, 'up');
  };
  const [storeAddress, providerAddress] = [`${STORE_NETWORK}.1`, `${PROVIDER_NETWORK}.1`];
  for (const host of [STORE_HOST, 'world', ...names]) addNamespace(namespaceOf(host), cleanup);
  plug(STORE_HOST, 'store', storeAddress);
  plug('world', 'provider', providerAddress);
  names.forEach((host, index) => {
    plug(host, 'store', `${STORE_NETWORK}.${index + 11}`);
    plug(host, 'provider', `${PROVIDER_NETWORK}.${index + 11}`);
  });
  return {
    namespaceOf,
    storeNamespace: namespaceOf(STORE_HOST),
    storeAddress,
    providerNamespace: namespaceOf('world'),
    providerAddress,
    setStoreCable(host, isWhole) {
      command('ip', '-n', network, 'link', 'set', cableOf(host, 'store'), isWhole ? 'up' : 'down');
    },
  };
}

function addNamespace(name: string, cleanup: Cleanup): void {
  command('ip', 'netns', 'add', name);
  cleanup.add(() => void command('ip', 'netns', 'del', name));
  command('ip', '-n', name, 'link', 'set', 'lo', 'up');
}

/** Names of interfaces have 15 characters at most. */
function cableOf(host: string, bridge: 'store' | 'provider'): string {
  return `${bridge === 'store' ? 's' : 'p'}-${host}`;
}
