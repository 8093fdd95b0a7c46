/** The rules by which the kernel is each kind of NAT, for UDP and TCP. The interfaces are called `wan` and `lan`. */

/** The kinds of `shoal/testing` that need rules; `open` is a host without a NAT. `random-64`: as `random`, with 64 ports. */
export type KernelNatKind =
  | 'full'
  | 'address'
  | 'port'
  | 'sequential'
  | 'random'
  | 'random-64'
  | 'udp-blocked'
  | '443-only';

const PROTOCOLS = ['udp', 'tcp'] as const;

/** What remembers who has which port, for NATs that let in others than those that were sent to. */
function learning(
  protocol: 'udp' | 'tcp',
  isByAddress: boolean,
): { readonly sets: string; readonly learn: string; readonly enter: string } {
  const timeout = 'flags dynamic,timeout; timeout 120s; size 65535;';
  const match = `meta l4proto ${protocol}`;
  return {
    sets: `
      map mapped_${protocol} { type inet_service : ipv4_addr . inet_service; ${timeout} }
      set peers_${protocol} { type inet_service . ipv4_addr; ${timeout} }`,
    // Before the source is translated: masquerade keeps ports, so the port outside is that inside.
    learn: `
        oifname "wan" ${match} update @mapped_${protocol} { ${protocol} sport : ip saddr . ${protocol} sport }
        oifname "wan" ${match} update @peers_${protocol} { ${protocol} sport . ip daddr }`,
    enter: `
        iifname "wan" ${match} ${isByAddress ? `${protocol} dport . ip saddr @peers_${protocol} ` : ''}dnat ip to ${protocol} dport map @mapped_${protocol}`,
  };
}

/** Ports of the sequential NAT; it begins again when all are used. */
const SEQUENTIAL_PORTS = 1000;

/** How sources are translated. `sequential`: the next port for each connection. */
function sourceRule(kind: KernelNatKind, outside: string): string {
  if (kind === 'random') return 'oifname "wan" masquerade fully-random';
  if (kind === 'random-64') return 'oifname "wan" meta l4proto { tcp, udp } masquerade to :40000-40063 fully-random';
  if (kind === 'sequential') {
    const ports = Array.from({ length: SEQUENTIAL_PORTS }, (_, i) => `${i} : ${40_000 + i}`).join(', ');
    // A map, since the numbers of numgen are not in the byte order of ports.
    return `oifname "wan" meta l4proto { tcp, udp } snat ip to ${outside} : numgen inc mod ${SEQUENTIAL_PORTS} map { ${ports} }`;
  }
  return 'oifname "wan" masquerade';
}

/**
 * The rules of a kind.
 *
 * @param outside - the NAT's own address.
 */
export function natRules(kind: KernelNatKind, outside: string, hairpin = false): string {
  const learns =
    kind === 'full' || kind === 'address' ? PROTOCOLS.map((each) => learning(each, kind === 'address')) : [];
  const blocked =
    kind === 'udp-blocked'
      ? 'meta l4proto udp drop'
      : kind === '443-only'
        ? 'meta l4proto udp drop\n        iifname "lan" tcp dport != 443 drop'
        : '';
  const hairpinIn = PROTOCOLS.map(
    (each) => `iifname "lan" ip daddr ${outside} meta l4proto ${each} dnat ip to ${each} dport map @mapped_${each}`,
  );
  return `
    table ip nat {${learns.map(({ sets }) => sets).join('')}
      chain learn {
        type filter hook postrouting priority 90; policy accept;${learns.map(({ learn }) => learn).join('')}
      }
      chain enter {
        type nat hook prerouting priority dstnat; policy accept;${learns.map(({ enter }) => enter).join('')}
        ${hairpin ? hairpinIn.join('\n        ') : ''}
      }
      chain leave {
        type nat hook postrouting priority srcnat; policy accept;
        ${sourceRule(kind, outside)}
        ${hairpin ? `iifname "lan" oifname "lan" ct status dnat snat ip to ${outside}` : ''}
      }
    }
    table inet filter {
      chain input {
        type filter hook input priority 0; policy accept;
        iifname "wan" ct state established,related accept
        iifname "wan" drop
      }
      chain forward {
        type filter hook forward priority 0; policy drop;
        ${blocked}
        iifname { "lan", "lan2" } accept
        iifname "wan" ct state established,related accept
        iifname "wan" ct status dnat accept
      }
    }`;
}

/** Lets out everything, and in what belongs to it. */
export const V6_FIREWALL = `
    table inet filter {
      chain forward {
        type filter hook forward priority 0; policy drop;
        meta l4proto ipv6-icmp accept
        iifname "lan" accept
        ct state established,related accept
      }
    }`;
