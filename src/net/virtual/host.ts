/** A virtual machine: its sockets, its time, and how it is attached. */

import { describeValue } from '../../base/checks.ts';
import type { LinkConfig } from '../memory/links.ts';
import { HostStack } from './host-stack.ts';
import type { Attachment } from './segment.ts';
import type { Families, Site } from './site.ts';
import type { VirtualAttachOptions, VirtualHost, VirtualHostOptions } from './types.ts';

/** @throws {TypeError | RangeError} for wrong options. */
export function createVirtualHost(site: Site, options: VirtualHostOptions): VirtualHost {
  const name = options.name ?? site.nameOf('host');
  const { ipv4 = true } = options;
  const ipv6 = site.ipv6At(site.placeOf(options.behind), options.ipv6, name);
  const { wire, tcpWindowBytes } = site;
  const stack = new HostStack({ name, wire, hasIpv6: ipv6, tcpWindowBytes });
  const { routes } = stack;
  const { clock } = stack.realm;
  let attached = 0;

  const attach = (to: VirtualAttachOptions, interfaceName: string): Attachment => {
    const families: Families = { ipv4, ipv6: ipv6 && site.ipv6At(site.placeOf(to.behind), undefined, name) };
    return site.attach(stack, interfaceName, to, families);
  };
  const add = (to: VirtualAttachOptions): string => {
    const attachment = attach(to, `eth${attached}`);
    attached++;
    routes.attachments.push(attachment);
    routes.changed();
    return attachment.interfaceName;
  };
  const indexOf = (interfaceName: string | undefined): number => {
    if (interfaceName === undefined) return 0;
    const index = routes.attachments.findIndex((each) => each.interfaceName === interfaceName);
    if (index >= 0) return index;
    throw new TypeError(`Cannot take interfaceName: ${name} has no ${describeValue(interfaceName)}`);
  };
  const setUp = (isUp: boolean, interfaceName: string | undefined): void => {
    routes.attachments[indexOf(interfaceName)]!.isUp = isUp;
    routes.changed();
  };
  const addresses = (): string[] => routes.interfaces().flatMap((each) => (each.isInternal ? [] : [each.ip]));
  add(options);

  return {
    name,
    network: stack,
    realm: stack.realm,
    counters: stack.counters,
    get ip() {
      return addresses()[0] ?? '';
    },
    get ips() {
      return addresses();
    },
    get isAsleep() {
      return clock.isAsleep;
    },
    move: (to, interfaceName) => {
      const index = indexOf(interfaceName);
      const old = routes.attachments[index]!;
      const moved = attach(to, old.interfaceName);
      old.detach();
      routes.attachments[index] = moved;
      routes.changed();
    },
    attach: add,
    setLink: (link: LinkConfig | undefined, interfaceName) => routes.attachments[indexOf(interfaceName)]!.setLink(link),
    down: (interfaceName) => setUp(false, interfaceName),
    up: (interfaceName) => setUp(true, interfaceName),
    sleep: () => clock.sleep(),
    wake: () => clock.wake(),
  };
}
