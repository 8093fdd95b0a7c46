/**
 * A network of namespaces on this machine: hosts, NATs and firewalls of the kernel, without an uplink. It is built inside `unshare`
 * (see `enter.ts`), so that everything is gone when the process ends, whoever ends it.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type KernelNatKind, natRules, V6_FIREWALL } from './nft-rules.ts';

/** Runs a command to its end. @throws {Error} with what it wrote when it fails. */
export function must(command: string, args: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { input, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? ''}${stderr}${input ?? ''}`);
}

/** The namespace that is the internet: a bridge with the addresses of its hosts. */
const INTERNET = 'internet';

/** A process in a namespace, which writes lines. */
export interface LabProcess {
  /** The next line that is JSON. @throws {Error} when the process ends before. */
  next<T>(): Promise<T>;
  /** All that it has written, once it has ended. */
  ended(): Promise<string>;
  /** Writes a line of JSON to it. */
  say(order: unknown): void;
  kill(): void;
  /** Asks it to end. */
  end(): void;
}

/** The lab. */
export class Lab {
  /** Bounded by the tests. */
  readonly #running: ChildProcess[] = [];
  #links = 0;

  /** @param ips - addresses of the hosts of the internet, with prefix lengths. */
  constructor(ips: readonly string[]) {
    if (process.env['SHOAL_NAT_LAB'] !== '1')
      throw new Error('The lab is built in namespaces of its own: see enter.ts');
    this.#add(INTERNET);
    must('ip', ['-n', INTERNET, 'link', 'add', 'br0', 'type', 'bridge']);
    for (const ip of ips) this.#address(INTERNET, 'br0', ip);
    must('ip', ['-n', INTERNET, 'link', 'set', 'br0', 'up']);
    this.sh(INTERNET, 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  }

  /** A host with an address of the internet. */
  publicHost(name: string, ips: readonly string[], gateway?: string): void {
    this.#add(name);
    this.#plug(name, 'eth0', INTERNET, 'br0');
    for (const ip of ips) this.#address(name, 'eth0', ip);
    if (gateway !== undefined) this.#route(name, gateway);
  }

  /** A LAN without a way out, to which hosts are plugged with {@link Lab.plug}. */
  lan(name: string): void {
    must('ip', ['-n', INTERNET, 'link', 'add', name, 'type', 'bridge']);
    must('ip', ['-n', INTERNET, 'link', 'set', name, 'up']);
  }

  /** A host without interfaces. */
  host(name: string): void {
    this.#add(name);
  }

  /** Gives a host one more interface, in a LAN. */
  plug(name: string, device: string, lan: string, ips: readonly string[]): void {
    this.#plug(name, device, INTERNET, lan);
    for (const ip of ips) this.#address(name, device, ip);
  }

  /**
   * A NAT with one host behind it, `192.168.<lan>.2`.
   *
   * @param outside - the NAT's address.
   * @param above - the NAT that it is behind, for two in a row.
   */
  nat(name: string, kind: KernelNatKind, outside: string, lan: number, options: NatOptions = {}): void {
    const router = `${name}-nat`;
    this.#add(router);
    this.#add(name);
    const { above } = options;
    if (above === undefined) this.#plug(router, 'wan', INTERNET, 'br0');
    else this.#plug(router, 'wan', `${above}-nat`, undefined, 'lan2');
    this.#address(router, 'wan', outside);
    if (above === undefined) this.#route(router, options.gateway ?? '203.0.113.10');
    else {
      const [a, b, c] = outside.split('.');
      this.#address(`${above}-nat`, 'lan2', `${a}.${b}.${c}.1/24`);
      this.#route(router, `${a}.${b}.${c}.1`);
    }
    this.#plug(name, 'eth0', router, undefined, 'lan');
    this.#address(router, 'lan', `192.168.${lan}.1/24`);
    this.#address(name, 'eth0', `192.168.${lan}.2/24`);
    this.#route(name, `192.168.${lan}.1`);
    this.sh(router, 'echo 1 > /proc/sys/net/ipv4/ip_forward');
    must('ip', ['netns', 'exec', router, 'nft', '-f', '-'], natRules(kind, outside.split('/')[0]!, options.hairpin));
  }

  /** One more host behind a NAT, `192.168.<lan>.3`: the LAN is a bridge from then on. */
  second(nat: string, name: string): void {
    const router = `${nat}-nat`;
    const [address] = this.sh(router, "ip -o -4 addr show dev lan | awk '{print $4}'").split('\n');
    const subnet = address!.slice(0, address!.lastIndexOf('.'));
    must('ip', ['-n', router, 'link', 'set', 'lan', 'name', 'first']);
    must('ip', ['-n', router, 'addr', 'flush', 'dev', 'first']);
    must('ip', ['-n', router, 'link', 'add', 'lan', 'type', 'bridge']);
    must('ip', ['-n', router, 'link', 'set', 'first', 'up', 'master', 'lan']);
    this.#address(router, 'lan', address!);
    must('ip', ['-n', router, 'link', 'set', 'lan', 'up']);
    this.#add(name);
    this.#plug(name, 'eth0', router, 'lan', 'other');
    this.#address(name, 'eth0', `${subnet}.3/24`);
    this.#route(name, `${subnet}.1`);
  }

  /** A router with a stateful firewall for IPv6, and a host behind it: `<prefix>::2`. */
  v6Firewall(name: string, outside: string, prefix: string): void {
    const router = `${name}-fw`;
    this.#add(router);
    this.#add(name);
    this.#plug(router, 'wan', INTERNET, 'br0');
    this.#address(router, 'wan', `${outside}/64`);
    this.#plug(name, 'eth0', router, undefined, 'lan');
    this.#address(router, 'lan', `${prefix}::1/64`);
    this.#address(name, 'eth0', `${prefix}::2/64`);
    this.#route(name, `${prefix}::1`);
    this.sh(router, 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding');
    must('ip', ['-n', INTERNET, '-6', 'route', 'add', `${prefix}::/64`, 'via', outside]);
    this.sh(INTERNET, 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding');
    must('ip', ['netns', 'exec', router, 'nft', '-f', '-'], V6_FIREWALL);
  }

  /** Gives a NAT and the host behind it IPv6 too, `<prefix>::2`, without a firewall. */
  v6(name: string, outside: string, prefix: string): void {
    const router = `${name}-nat`;
    this.#address(router, 'wan', `${outside}/64`);
    this.#address(router, 'lan', `${prefix}::1/64`);
    this.#address(name, 'eth0', `${prefix}::2/64`);
    // As router advertisements have it.
    this.#address(router, 'lan', 'fe80::1/64');
    must('ip', ['-n', name, '-6', 'route', 'add', 'default', 'via', 'fe80::1', 'dev', 'eth0']);
    this.sh(router, 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding');
    // Its neighbours ask for its address.
    this.sh(router, 'nft insert rule inet filter input meta l4proto ipv6-icmp accept');
    must('ip', ['-n', INTERNET, '-6', 'route', 'add', `${prefix}::/64`, 'via', outside]);
    must('ip', ['-n', router, '-6', 'route', 'add', 'default', 'via', '2001:db8:0:1::1']);
  }

  /** Routes in a router of {@link Lab.v6Firewall}. */
  v6Route(name: string, via: string): void {
    must('ip', ['-n', `${name}-fw`, '-6', 'route', 'add', 'default', 'via', via]);
  }

  /**
   * Two hosts on a cable with delay and loss.
   *
   * @returns when it carries; `undefined` where TAP devices cannot be had.
   */
  wire(
    near: string,
    nearIp: string,
    far: string,
    farIp: string,
    { delayMs, lossPercent }: { readonly delayMs: number; readonly lossPercent: number },
  ): Promise<void> | undefined {
    if (spawnSync('perl', ['-e', 'open(my $tun, "+<", "/dev/net/tun") or exit 1']).status !== 0) return undefined;
    for (const name of [near, far]) this.#add(name);
    const script = `${import.meta.dirname}/tap-wire.pl`;
    // One process has both ends: a TAP device stays its own when it is moved to another namespace.
    const child = spawn('perl', [script, 'tap-near', 'tap-far', String(delayMs), String(lossPercent), '1'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#running.push(child);
    return once(child.stdout, 'data').then(() => {
      for (const [name, device, ip] of [
        [near, 'tap-near', nearIp],
        [far, 'tap-far', farIp],
      ] as const) {
        must('ip', ['link', 'set', device, 'netns', name]);
        this.#address(name, device, ip);
        must('ip', ['-n', name, 'link', 'set', device, 'up']);
      }
    });
  }

  /** Makes a NAT forget everything, as when it starts again. */
  reboot(name: string): void {
    must('ip', ['netns', 'exec', `${name}-nat`, 'conntrack', '-F']);
  }

  /** Runs a shell command in a namespace. */
  sh(namespace: string, command: string): string {
    return must('ip', ['netns', 'exec', namespace, 'sh', '-c', command]);
  }

  /** The same, and takes any exit code. @returns all that it wrote. */
  try(namespace: string, command: string, args: readonly string[]): string {
    const { stdout, stderr } = spawnSync('ip', ['netns', 'exec', namespace, command, ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    return stdout + stderr;
  }

  /** Starts a script of this folder with the running Node in a namespace. */
  node(namespace: string, script: string, ...args: readonly string[]): LabProcess {
    return this.start(namespace, process.execPath, [
      '--conditions=shoal-source',
      `${import.meta.dirname}/${script}`,
      ...args,
    ]);
  }

  /** Starts a program in a namespace. */
  start(namespace: string, command: string, args: readonly string[]): LabProcess {
    const child = spawn('ip', ['netns', 'exec', namespace, command, ...args], { stdio: 'pipe' });
    child.stdin.on('error', () => undefined); // It has ended, which `next` tells.
    this.#running.push(child);
    let written = '';
    child.stderr.on('data', (chunk: Buffer) => (written += chunk.toString()));
    const closed = once(child, 'close');
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const line = async (): Promise<string | undefined> => {
      const { value, done } = await lines.next();
      if (done === true) return undefined;
      written += `${value}\n`;
      return value;
    };
    return {
      next: async <T>(): Promise<T> => {
        for (let got = await line(); got !== undefined; got = await line()) {
          if (got.startsWith('{')) return JSON.parse(got) as T;
        }
        await closed;
        throw new Error(`${command} ${args.join(' ')} in ${namespace} ended without a result:\n${written}`);
      },
      ended: async () => {
        while ((await line()) !== undefined);
        await closed;
        return written;
      },
      say: (order) => void child.stdin.write(`${JSON.stringify(order)}\n`),
      kill: () => child.kill('SIGKILL'),
      end: () => child.kill('SIGTERM'),
    };
  }

  /** Ends all processes; the namespaces go with the process that entered them. */
  close(): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }

  #add(name: string): void {
    must('ip', ['netns', 'add', name]);
    must('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    // Without this IPv6 addresses cannot be used for the first seconds.
    this.sh(
      name,
      'cd /proc/sys/net/ipv6/conf && for each in all default; do echo 0 > $each/accept_dad; echo 0 > $each/dad_transmits; done',
    );
  }

  /** A cable between two namespaces; at the other end a device, or a port of a bridge. */
  #plug(namespace: string, device: string, other: string, bridge: string | undefined, otherDevice?: string): void {
    const far = otherDevice ?? `port${this.#links++}`;
    must('ip', ['link', 'add', device, 'netns', namespace, 'type', 'veth', 'peer', 'name', far, 'netns', other]);
    if (bridge !== undefined) must('ip', ['-n', other, 'link', 'set', far, 'master', bridge]);
    must('ip', ['-n', other, 'link', 'set', far, 'up']);
    must('ip', ['-n', namespace, 'link', 'set', device, 'up']);
  }

  #address(namespace: string, device: string, ip: string): void {
    const flags = ip.includes(':') ? ['nodad'] : ['broadcast', '+'];
    must('ip', ['-n', namespace, 'addr', 'add', ip, ...flags, 'dev', device]);
  }

  #route(namespace: string, gateway: string): void {
    const family = gateway.includes(':') ? ['-6'] : [];
    must('ip', ['-n', namespace, ...family, 'route', 'add', 'default', 'via', gateway]);
  }
}

/** What a NAT has beside its kind. */
export interface NatOptions {
  readonly above?: string | undefined;
  /** @default 203.0.113.10 */
  readonly gateway?: string | undefined;
  readonly hairpin?: boolean | undefined;
}
