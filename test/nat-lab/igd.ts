/** miniupnpd on the router of a NAT: PCP, NAT-PMP and UPnP as they are on many home routers. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import type { Lab, LabProcess } from './lab.ts';

/** Whether a program is there, also where only root looks. */
export function has(program: string): boolean {
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0 || existsSync(`/usr/sbin/${program}`);
}

/** The forwarding chain has the IPv6 firewall, which the chain of pinholes opens. */
const NFT = `
  table inet igd {
    chain pinholes { }
    chain forward { type filter hook forward priority 10; policy accept;
      meta l4proto ipv6-icmp accept
      iifname "wan" ct state established,related accept
      jump pinholes
      iifname "wan" meta nfproto ipv6 drop
    }
    chain enter { type nat hook prerouting priority -100; policy accept; }
    chain leave { type nat hook postrouting priority 100; policy accept; }
  }`;

/** How the router of a NAT is set up. */
export interface IgdOptions {
  /** The NAT in the lab; its address has to look public, or miniupnpd refuses to map. */
  readonly nat: string;
  /** Its LAN, `192.168.60`. */
  readonly lan: string;
}

/** A router with miniupnpd, which can be started again. */
export class Igd {
  readonly #lab: Lab;
  readonly #router: string;
  readonly #folder: string;
  #process: LabProcess | undefined;

  constructor(lab: Lab, { nat, lan }: IgdOptions) {
    this.#lab = lab;
    this.#router = `${nat}-nat`;
    this.#folder = mkdtempSync(path.join(tmpdir(), 'shoal-igd-'));
    const lines = [
      'ext_ifname=wan',
      'listening_ip=lan',
      'port=5555',
      'enable_natpmp=yes',
      'enable_upnp=yes',
      'secure_mode=yes',
      'min_lifetime=5',
      'max_lifetime=86400',
      'uuid=7c1e6a3e-0000-4000-8000-000000000001',
      'upnp_table_name=igd',
      'upnp_nat_table_name=igd',
      'upnp_forward_chain=pinholes',
      'upnp_nat_chain=enter',
      'upnp_nat_postrouting_chain=leave',
      `allow 1024-65535 ${lan}.0/24 1024-65535`,
      'deny 0-65535 0.0.0.0/0 0-65535',
      '',
    ];
    writeFileSync(path.join(this.#folder, 'conf'), lines.join('\n'));
    writeFileSync(path.join(this.#folder, 'nft'), NFT);
    // What the NAT's own rules say of IPv4 is not for IPv6.
    lab.sh(this.#router, 'nft insert rule inet filter forward meta nfproto ipv6 accept');
  }

  /** Starts the router, with no mappings. */
  start(): void {
    const [conf, pid, nft] = ['conf', 'pid', 'nft'].map((name) => path.join(this.#folder, name));
    this.#lab.sh(this.#router, `nft delete table inet igd 2>/dev/null; nft -f ${nft}`);
    rmSync(pid!, { force: true });
    this.#process = this.#lab.start(this.#router, 'miniupnpd', ['-d', '-f', conf!, '-P', pid!]);
  }

  /** As if its power was cut. */
  async stop(): Promise<void> {
    this.#process?.kill();
    await this.#process?.ended();
    // Its sockets are free when the process is gone.
    this.#lab.sh(this.#router, 'nft delete table inet igd');
  }
}
