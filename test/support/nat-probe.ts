/**
 * Finds out how a NAT behaves, from behind it, with two helpers outside: RFC 5780 in spirit, with texts for messages. It takes
 * any networks, so that virtual NATs and those of a kernel can be judged by the same questions.
 */

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { type SocketAddress, formatSocketAddress, parseSocketAddress } from '../../src/base/ip.ts';
import type { Realm } from '../../src/core/realm.ts';
import { clockOf } from '../../src/runtime/system-realm.ts';
import type { DatagramSocket, Network, RawConnection } from '../../src/net/network.ts';
import type { NatDependence } from '../../src/net/virtual/nat-rules.ts';

/** What a NAT was found to be. */
export interface NatVerdict {
  /** `blocked`: nothing comes back at all. */
  readonly mapping: NatDependence | 'none' | 'blocked';
  readonly filtering: NatDependence | 'blocked';
  /** The ports outside of one socket, one for each destination. */
  readonly ports: readonly number[];
}

/** Two hosts outside with two ports each, which say whom they see and call back when asked to. */
export interface NatHelpers {
  /** `[host 1 port 1, host 1 port 2, host 2 port 1, host 2 port 2]`. */
  readonly addresses: readonly SocketAddress[];
  close(): Promise<void>;
}

/** How long a probe waits for an answer, and how often it asks. */
export interface ProbeTiming {
  readonly timeoutMs: number;
  readonly tries: number;
}

const DEFAULT_TIMING: ProbeTiming = { timeoutMs: 500, tries: 3 };

/** Resolves when the realm is `ms` further. */
export function pause(realm: Realm, ms: number): Promise<void> {
  return new Promise((resolve) => void clockOf(realm).setTimer(realm.nowMs() + ms, resolve));
}

const addressText = ({ ip, port }: SocketAddress): string => formatSocketAddress(ip, port);

/**
 * UDP: answers `who` with the address it comes from; `via n` makes helper socket n answer in its place.
 *
 * @param hosts - two networks, and the address and ports of each.
 */
export async function openUdpHelpers(
  hosts: readonly { readonly network: Network; readonly ip: string; readonly ports: readonly number[] }[],
): Promise<NatHelpers> {
  const sockets: DatagramSocket[] = [];
  for (const { network, ip, ports } of hosts) {
    for (const port of ports) sockets.push(await network.bindUdp({ bind: { ip, port } }));
  }
  for (const socket of sockets) {
    socket.sink = {
      onDatagram: (payload, ip, port) => {
        const via = /^via ([0-9])$/.exec(decodeText(payload) ?? '');
        const answering = via === null ? socket : sockets[Number(via[1])];
        answering?.send(encodeText(addressText({ ip, port })), ip, port);
      },
    };
  }
  return {
    addresses: sockets.map(({ address }) => address),
    close: async () => {
      await Promise.all(sockets.map((socket) => socket.close()));
    },
  };
}

/** Asks over UDP, and answers what the socket is seen as. */
async function askUdp(
  socket: DatagramSocket,
  realm: Realm,
  to: SocketAddress,
  text: string,
  { timeoutMs, tries }: ProbeTiming,
): Promise<SocketAddress | undefined> {
  let answer: SocketAddress | undefined;
  socket.sink = {
    onDatagram: (payload) => {
      answer ??= parseSocketAddress(decodeText(payload) ?? '');
    },
  };
  for (let i = 0; i < tries && answer === undefined; i++) {
    socket.send(encodeText(text), to.ip, to.port);
    await pause(realm, timeoutMs);
  }
  return answer;
}

/** What a NAT does to UDP. */
export async function probeUdp(
  network: Network,
  realm: Realm,
  { addresses }: NatHelpers,
  timing: ProbeTiming = DEFAULT_TIMING,
): Promise<NatVerdict> {
  const bind = { ip: '0.0.0.0', port: 0 };
  const socket = await network.bindUdp({ bind });
  const seen: (SocketAddress | undefined)[] = [];
  for (const to of addresses.slice(0, 3)) seen.push(await askUdp(socket, realm, to, 'who', timing));
  const { port } = socket.address;
  await socket.close();
  const fresh = await network.bindUdp({ bind });
  // Leave to come in is given by what was sent, so everybody else has to be asked by a socket that has sent to one only.
  await askUdp(fresh, realm, addresses[0]!, 'who', timing);
  const answersFrom = async (n: number): Promise<boolean> =>
    (await askUdp(fresh, realm, addresses[0]!, `via ${n}`, timing)) !== undefined;
  const filtering = seen[0] === undefined ? 'blocked' : await filteringOf(answersFrom);
  await fresh.close();
  return { mapping: mappingOf(seen, network, port), filtering, ports: seen.map((each) => each?.port ?? 0) };
}

async function filteringOf(answersFrom: (helper: number) => Promise<boolean>): Promise<NatDependence> {
  if (await answersFrom(3)) return 'endpoint-independent';
  return (await answersFrom(1)) ? 'address-dependent' : 'address-and-port-dependent';
}

function mappingOf(
  seen: readonly (SocketAddress | undefined)[],
  network: Network,
  port: number,
): NatVerdict['mapping'] {
  const [first, otherPort, otherHost] = seen.map((each) => each && addressText(each));
  if (first === undefined) return 'blocked';
  const own = network.interfaces().map(({ ip }) => addressText({ ip, port }));
  if (own.includes(first)) return 'none';
  if (first !== otherPort) return 'address-and-port-dependent';
  return first === otherHost ? 'endpoint-independent' : 'address-dependent';
}

/** TCP: says on each connection whom it sees; `call n` makes host n call that address. Lines, since TCP cuts anywhere. */
export async function openTcpHelpers(
  hosts: readonly { readonly network: Network; readonly ip: string; readonly ports: readonly number[] }[],
): Promise<NatHelpers> {
  const addresses: SocketAddress[] = [];
  const listeners: { close(): Promise<void> }[] = [];
  for (const { network, ip, ports } of hosts) {
    for (const port of ports) {
      const listener = await network.listen({
        bind: { ip, port },
        backlog: 16,
        reusePort: false,
        onError: () => undefined,
        onConnection: (connection) => tellWhom(connection, hosts),
      });
      listeners.push(listener);
      addresses.push(listener.address);
    }
  }
  return {
    addresses,
    close: async () => {
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  };
}

function tellWhom(
  { pipe, remote }: RawConnection,
  hosts: readonly { readonly network: Network; readonly ip: string }[],
): void {
  let said = '';
  pipe.sink = {
    onData: (chunk) => {
      said += decodeText(chunk) ?? '';
      const call = /^call ([0-9])\n/.exec(said);
      const host = call === null ? undefined : hosts[Number(call[1])];
      if (host === undefined) return;
      const bind = { ip: host.ip, port: 0 };
      host.network.dial({ remote, bind, signal: new AbortController().signal }).then(
        ({ pipe: called }) => called.destroy(),
        () => undefined,
      );
    },
    onEnd: () => pipe.end(),
    onClose: () => undefined,
  };
  pipe.resume();
  pipe.write([encodeText(`${addressText(remote)}\n`)], () => undefined);
}

/** A connection that says as whom it is seen; `undefined` when none comes about. */
async function callTcp(
  network: Network,
  realm: Realm,
  remote: SocketAddress,
  port: number,
  timeoutMs: number,
): Promise<{ readonly connection: RawConnection; readonly seen: SocketAddress | undefined } | undefined> {
  const given = new AbortController();
  const timer = clockOf(realm).setTimer(realm.nowMs() + timeoutMs, () => given.abort());
  try {
    const connection = await network.dial({ remote, bind: { ip: '0.0.0.0', port }, signal: given.signal });
    const seen = await new Promise<SocketAddress | undefined>((resolve) => {
      let text = '';
      const { pipe } = connection;
      pipe.sink = {
        onData: (chunk) => {
          text += decodeText(chunk) ?? '';
          if (text.endsWith('\n')) resolve(parseSocketAddress(text.trimEnd()));
        },
        onEnd: () => resolve(undefined),
        onClose: () => resolve(undefined),
      };
      pipe.resume();
    });
    return { connection, seen };
  } catch {
    return undefined;
  } finally {
    timer.cancel();
  }
}

/** What a NAT does to TCP. */
export async function probeTcp(
  network: Network,
  realm: Realm,
  { addresses }: NatHelpers,
  port: number,
  timeoutMs = 1000,
): Promise<NatVerdict> {
  const seen: (SocketAddress | undefined)[] = [];
  for (const to of addresses.slice(0, 3)) {
    const made = await callTcp(network, realm, to, port, timeoutMs);
    seen.push(made?.seen);
    made?.connection.pipe.destroy();
    await pause(realm, timeoutMs / 4);
  }
  const mapping = mappingOf(seen, network, port);
  const ports = seen.map((each) => each?.port ?? 0);
  if (seen[0] === undefined) return { mapping, filtering: 'blocked', ports };
  const calledBy = async (helper: number, from: number): Promise<boolean> => {
    const made = await callTcp(network, realm, addresses[0]!, from, timeoutMs);
    let hasCome = false;
    // Connect first, listen last: a port on which one listens cannot be left from.
    const listener = await network.listen({
      bind: { ip: '0.0.0.0', port: from },
      backlog: 4,
      reusePort: false,
      onError: () => undefined,
      onConnection: ({ pipe }) => {
        hasCome = true;
        pipe.destroy();
      },
    });
    made?.connection.pipe.write([encodeText(`call ${helper}\n`)], () => undefined);
    await pause(realm, 2 * timeoutMs);
    await listener.close();
    made?.connection.pipe.destroy();
    return hasCome;
  };
  // The helper that has the address that was dialled, from another port, says whether the port counts.
  const filtering = (await calledBy(1, port + 1))
    ? 'endpoint-independent'
    : (await calledBy(0, port + 2))
      ? 'address-dependent'
      : 'address-and-port-dependent';
  return { mapping, filtering, ports };
}
