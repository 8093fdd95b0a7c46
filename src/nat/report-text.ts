/** The sentences of a NAT report. */

import { isGlobalIp } from '../base/ip.ts';
import type { NetworkInterface } from '../net/network.ts';
import type { PathReport } from './path-report.ts';

/** The sentences, the most important first. */
export function summaryOf(interfaces: readonly NetworkInterface[], paths: readonly PathReport[]): readonly string[] {
  if (paths.length === 0) return ['No observer was named, so only the addresses of the interfaces are known.'];
  const lines: string[] = [];
  for (const family of [4, 6] as const) {
    const [udp, tcp] = (['udp', 'tcp'] as const).map((transport) =>
      paths.find((path) => path.family === family && path.transport === transport),
    );
    if (udp !== undefined) lines.push(...familyLines(`IPv${family}`, udp, tcp, interfaces));
  }
  return lines;
}

function familyLines(
  name: string,
  udp: PathReport,
  tcp: PathReport | undefined,
  interfaces: readonly NetworkInterface[],
): readonly string[] {
  if (udp.address === undefined && tcp?.address === undefined) {
    return [`${name}: no observer answered: there is no way out, or the observers are down.`];
  }
  if (udp.address === undefined) {
    return [`${name}: UDP is blocked. Peers are reached over TCP and by relays only.`, ...tcpLines(name, tcp)];
  }
  const { address, mapping, filtering, hairpin } = udp;
  const hasOnePort =
    mapping === undefined || mapping.behavior === 'none' || mapping.behavior === 'endpoint-independent';
  const port =
    address.port === undefined || !hasOnePort ? 'a port that differs for each destination' : `port ${address.port}`;
  const lines = [`${name}: others see this host as ${address.ip} (${address.ipCertainty}), over UDP with ${port}.`];
  if (mapping?.behavior === 'none') {
    lines.push(
      filtering?.behavior === 'endpoint-independent'
        ? `${name}: there is no NAT and no firewall for UDP. Every peer can dial this host.`
        : filtering === undefined
          ? `${name}: there is no NAT. Whether a firewall keeps peers out is not known; a dial-back tells.`
          : `${name}: there is no NAT, but a firewall. Hole punching works with every peer.`,
    );
  } else if (mapping === undefined) {
    lines.push(`${name}: there is a NAT. How it maps ports is known with a second observer in another network.`);
  } else if (mapping.behavior === 'endpoint-independent') {
    lines.push(`${name}: the NAT gives a socket one address for all destinations (${mapping.certainty}).`);
    lines.push(
      filtering?.behavior === 'endpoint-independent'
        ? `${name}: every peer can dial that address while the mapping lives.`
        : filtering?.behavior === 'address-dependent'
          ? `${name}: hole punching works with every peer.`
          : `${name}: hole punching works with every peer but those whose NAT gives a random port to each destination.`,
    );
  } else {
    const order =
      mapping.ports === 'sequential'
        ? `ports that follow each other by ${mapping.portStep}`
        : mapping.ports === 'random'
          ? 'random ports'
          : 'other ports';
    lines.push(`${name}: the NAT gives each destination another address, with ${order} (${mapping.certainty}).`);
    lines.push(
      mapping.ports === 'sequential'
        ? `${name}: hole punching works where the next port can be predicted.`
        : `${name}: hole punching works only with peers that filter by IP at most; others need port mapping or a relay.`,
    );
  }
  if (hairpin === false) {
    lines.push(`${name}: the NAT has no hairpinning: peers behind it reach this host by its private address only.`);
  }
  if (mapping?.behavior !== 'none' && interfaces.every(({ ip }) => !isGlobalIp(ip)) && !isGlobalIp(address.ip)) {
    lines.push(`${name}: ${address.ip} is not a public address: there is a NAT of the provider above this one.`);
  }
  return [...lines, ...tcpLines(name, tcp)];
}

function tcpLines(name: string, tcp: PathReport | undefined): readonly string[] {
  if (tcp === undefined) return [];
  if (tcp.address === undefined) return [`${name}: no observer answered over TCP.`];
  const { mapping } = tcp;
  if (mapping === undefined || mapping.behavior === 'none') return [];
  return mapping.behavior === 'endpoint-independent'
    ? [`${name}: TCP from one port is seen under one address, so TCP hole punching can work.`]
    : [`${name}: TCP is seen under another port for each destination, so TCP hole punching does not work.`];
}
