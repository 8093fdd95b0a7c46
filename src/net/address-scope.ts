/** Where an IP is, seen from this host: it decides in which order addresses of a peer are tried. */

import { hasPrefix, ipBytes, isLinkLocalIp, isLoopbackIp, isPrivateIp, isSharedIp } from '../base/ip.ts';
import { isInPrefix, parseIpPrefix } from '../base/ip-prefix.ts';
import type { AddressScope } from '../protocols/peers/reach/types.ts';
import type { NetworkInterface } from './network.ts';

/**
 * Names of bridges of containers and virtual machines: Docker, Podman and Kubernetes; libvirt, LXC; VMware, VirtualBox; Hyper-V and
 * WSL. A host elsewhere has a bridge with the same addresses, so they mostly lead nowhere.
 */
const VIRTUAL_NAMES: readonly string[] = [
  'docker',
  'br-',
  'veth',
  'podman',
  'cni',
  'flannel',
  'cali',
  'virbr',
  'lxcbr',
  'lxdbr',
  'vmnet',
  'vboxnet',
  'vEthernet',
];

/** The networks that those give to their first bridge: Docker, Podman, libvirt, VirtualBox. */
const VIRTUAL_NETWORKS = ['172.17.0.0/16', '10.88.0.0/16', '192.168.122.0/24', '192.168.56.0/24'].map((text) =>
  parseIpPrefix(text)!,
);

/**
 * Where an IP is. Private addresses in the usual network of a virtual bridge are `virtual`, unless an interface of this host that is no
 * bridge is in that network.
 *
 * @param ip - canonical.
 * @param interfaces - this host's.
 */
export function addressScope(ip: string, interfaces: readonly NetworkInterface[]): AddressScope {
  if (isLoopbackIp(ip)) return 'loopback';
  if (isLinkLocalIp(ip)) return 'link_local';
  const bytes = ipBytes(ip);
  if (bytes === undefined) return 'public';
  const near = interfaces.filter((each) => {
    const prefix = ipBytes(each.ip);
    return !each.isInternal && prefix?.length === bytes.length && hasPrefix(bytes, prefix, each.prefixLength);
  });
  if (near.some(({ name }) => !isVirtualName(name))) return 'same_subnet';
  if (near.length > 0 || VIRTUAL_NETWORKS.some((prefix) => isInPrefix(bytes, prefix))) return 'virtual';
  return isPrivateIp(ip) || isSharedIp(ip) ? 'private' : 'public';
}

const isVirtualName = (name: string): boolean => VIRTUAL_NAMES.some((prefix) => name.startsWith(prefix));
