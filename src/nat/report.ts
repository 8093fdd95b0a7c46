/** Finds out, by asking observers, under which addresses this host is seen and what the NATs and firewalls in between do. */

import { describeValue, quantity } from '../base/checks.ts';
import { formatSocketAddress, ipVersion, type SocketAddress } from '../base/ip.ts';
import { sourceOf } from '../base/source-shares.ts';
import { P2PError } from '../core/errors.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { assertNetwork, type DatagramSocket, type Network } from '../net/network.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { systemNetwork } from '../net/system-network.ts';
import {
  decodeDialBackNonce,
  DIAL_BACK_NONCE_BYTES,
  encodeDialBackNonce,
} from '../protocols/reachability/dial-back.ts';
import { ObservedAddresses } from '../protocols/reachability/observed-addresses.ts';
import { elect } from '../protocols/reachability/votes.ts';
import type { StunAnswer } from '../protocols/stun/client.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import type { FilteringBehavior, NatReport, ObserverOutcome, PathReport } from './path-report.ts';
import { summaryOf } from './report-text.ts';
import { StunAsker } from './stun-asker.ts';
import { askStunOverTcp } from './stun-tcp.ts';

/** How a report is made. */
export interface NatReportOptions extends CallOptions {
  /**
   * Observers and STUN servers, `ip:port` texts: only these are asked. Three in different networks make a verdict
   * `proven`; one with a second address (RFC 5780) shows how a NAT filters.
   */
  readonly observers: readonly string[];
  /** Whether to ask over TCP too. @default true */
  readonly tcp?: boolean | undefined;
  readonly network?: Network | undefined;
  readonly realm?: Realm | undefined;
}

/** How long one question may take, unless the call says less. */
const ASK_MS = 3000;
const HAIRPIN_MS = 1000;
/** Ports tried for connections from one port. */
const PORT_TRIES = 8;

/**
 * Asks the observers and judges: one after the other, UDP and TCP beside each other, so each one that does not answer takes `timeoutMs`
 * (3000 ms unless given, at most 60 000).
 *
 * @throws {TypeError | RangeError} (at once) for observers that are no `ip:port`.
 * @throws the signal's reason (by rejection).
 */
export function natReport(options: NatReportOptions): Promise<NatReport> {
  if (typeof options !== 'object' || options === null || !Array.isArray(options.observers)) {
    throw new TypeError(`Cannot take options: expected { observers: ['ip:port'] }, got ${describeValue(options)}`);
  }
  const { network = systemNetwork, realm = systemRealm, tcp = true, signal } = options;
  assertNetwork(network);
  assertRealm(realm);
  const askMs = quantity(options.timeoutMs, 'timeoutMs', ASK_MS, 1, 60_000);
  const observers = options.observers.map((text) => parseIpSocketAddress(text, 'observers'));
  return report(network, realm, observers, tcp, { signal, timeoutMs: askMs });
}

async function report(
  network: Network,
  realm: Realm,
  observers: readonly SocketAddress[],
  tcp: boolean,
  call: CallOptions,
): Promise<NatReport> {
  const { signal } = call;
  signal?.throwIfAborted();
  const paths: PathReport[] = [];
  for (const family of [4, 6] as const) {
    const ofFamily = observers.filter(({ ip }) => ipVersion(ip) === family);
    if (ofFamily.length === 0) continue;
    const context: Context = { network, realm, family, observers: ofFamily, call };
    const [udp, overTcp] = await Promise.all([udpReport(context), tcp ? tcpReport(context) : undefined]);
    paths.push(udp);
    if (overTcp !== undefined) paths.push(overTcp);
    signal?.throwIfAborted();
  }
  const interfaces = network.interfaces().filter(({ isInternal }) => !isInternal);
  return { interfaces, paths, summary: summaryOf(interfaces, paths) };
}

interface Context {
  readonly network: Network;
  readonly realm: Realm;
  readonly family: 4 | 6;
  readonly observers: readonly SocketAddress[];
  readonly call: CallOptions;
}

const anyIp = (family: 4 | 6): string => (family === 4 ? '0.0.0.0' : '::');

const codeOf = (error: unknown): string => (P2PError.is(error) ? error.code : 'aborted');

/** A socket that asks, and hears of what answers nothing. */
interface Asking extends AsyncDisposable {
  readonly socket: DatagramSocket;
  readonly asker: StunAsker;
  onOther: ((payload: Uint8Array) => void) | undefined;
}

async function openAsking({ network, realm, family, call }: Context): Promise<Asking> {
  const socket = await network.bindUdp({ bind: { ip: anyIp(family), port: 0 } });
  const asker = new StunAsker(realm, ({ to, bytes }) => socket.send(bytes, to.ip, to.port), call.timeoutMs);
  const asking: Asking = {
    socket,
    asker,
    onOther: undefined,
    [Symbol.asyncDispose]: async () => {
      asker.close();
      await socket.close();
    },
  };
  socket.sink = {
    onDatagram: (payload, ip, port) => {
      if (!asker.handleDatagram({ ip, port }, payload)) asking.onOther?.(payload);
    },
  };
  return asking;
}

/** The addresses that the socket has itself. */
function localOf({ network, family }: Context, port: number): readonly SocketAddress[] {
  const ips = network.interfaces().map(({ ip }) => ip);
  return ips.filter((ip) => ipVersion(ip) === family).map((ip) => ({ ip, port }));
}

async function udpReport(context: Context): Promise<PathReport> {
  const { realm, family, observers, call } = context;
  const asking = await openAsking(context);
  try {
    const observed = new ObservedAddresses();
    const outcomes: ObserverOutcome[] = [];
    const note = ({ mapped }: StunAnswer, observer: SocketAddress): void =>
      observed.note(realm.nowMs(), { observer, mapped });
    const withOther: StunAnswer[] = [];
    // One after the other, so that ports that follow from each other are seen in their order.
    for (const observer of observers) {
      const text = formatSocketAddress(observer.ip, observer.port);
      try {
        const answer = await asking.asker.ask(observer, call);
        note(answer, observer);
        if (answer.other !== undefined && ipVersion(answer.other.ip) === family) withOther.push(answer);
        const mapped = formatSocketAddress(answer.mapped.ip, answer.mapped.port);
        outcomes.push({ observer: text, mapped, rttMs: answer.rttMs });
      } catch (error) {
        outcomes.push({ observer: text, failed: codeOf(error) });
      }
    }
    // Another port of the same IP tells a NAT that looks at IPs from one that looks at ports too.
    for (const { server, other } of withOther) {
      const second = { ip: server.ip, port: other!.port };
      await asking.asker.ask(second, call).then(
        (answer) => note(answer, second),
        () => undefined,
      );
    }
    const filtering = await filteringOf(
      context,
      withOther,
      outcomes.filter(({ mapped }) => mapped !== undefined).length,
    );
    const address = observed.address(realm.nowMs(), family);
    const mapping = observed.mapping(realm.nowMs(), family, localOf(context, asking.socket.address.port));
    const isNat = address?.port !== undefined && mapping?.behavior !== 'none';
    const hairpin = isNat ? await hairpins(context, asking, { ip: address.ip, port: address.port }) : undefined;
    return { transport: 'udp', family, observers: outcomes, address, mapping, filtering, hairpin };
  } finally {
    await asking[Symbol.asyncDispose]();
  }
}

/** Asks each server with a second address to answer from there. A fresh socket each, that has sent to no such address before. */
async function filteringOf(
  context: Context,
  answers: readonly StunAnswer[],
  answered: number,
): Promise<PathReport['filtering']> {
  const { call } = context;
  const judge = async ({ server }: StunAnswer): Promise<readonly [string, FilteringBehavior] | undefined> => {
    const asking = await openAsking(context);
    try {
      const source = sourceOf(server.ip);
      const passes = (changeIp: boolean): Promise<boolean> =>
        asking.asker.ask(server, { ...call, changeIp, changePort: true }).then(
          // A server that answers from where it was asked says nothing.
          ({ from }) => (changeIp ? from.ip !== server.ip : from.ip === server.ip) && from.port !== server.port,
          () => false,
        );
      await asking.asker.ask(server, call);
      if (await passes(true)) return [source, 'endpoint-independent'];
      return [source, (await passes(false)) ? 'address-dependent' : 'address-and-port-dependent'];
    } catch {
      return undefined;
    } finally {
      await asking[Symbol.asyncDispose]();
    }
  };
  const judged = (await Promise.all(answers.map(judge))).filter((one) => one !== undefined);
  const elected = elect([...new Map(judged).values()], undefined);
  if (elected === undefined) return undefined;
  // Only observers with a second address can say; a minority of all that answered proves nothing.
  const certainty = 2 * judged.length > answered ? elected.certainty : 'assumed';
  return { behavior: elected.value, certainty };
}

/** Whether a datagram from another socket of this host to the mapped address arrives. */
async function hairpins(context: Context, asking: Asking, mapped: SocketAddress): Promise<boolean> {
  const { realm, network, family } = context;
  const nonce = realm.random(DIAL_BACK_NONCE_BYTES);
  const other = await network.bindUdp({ bind: { ip: anyIp(family), port: 0 } });
  try {
    return await new Promise<boolean>((resolve) => {
      const timer = clockOf(realm).setTimer(realm.nowMs() + HAIRPIN_MS, () => resolve(false));
      asking.onOther = (payload) => {
        if (decodeDialBackNonce(payload)?.join() !== nonce.join()) return;
        timer.cancel();
        resolve(true);
      };
      other.send(encodeDialBackNonce(nonce), mapped.ip, mapped.port);
    });
  } finally {
    await other.close();
  }
}

async function tcpReport(context: Context): Promise<PathReport> {
  const { realm, network, family, observers, call } = context;
  const observed = new ObservedAddresses();
  const outcomes: ObserverOutcome[] = [];
  let bind: SocketAddress | undefined;
  for (const server of observers) {
    const text = formatSocketAddress(server.ip, server.port);
    try {
      const ask = (from: SocketAddress) => askStunOverTcp({ network, realm, server, bind: from, ...call });
      const answer = bind === undefined ? await firstFree(context, ask) : await ask(bind);
      bind ??= { ip: anyIp(family), port: answer.local.port };
      observed.note(realm.nowMs(), { observer: server, mapped: answer.mapped });
      const mapped = formatSocketAddress(answer.mapped.ip, answer.mapped.port);
      outcomes.push({ observer: text, mapped, rttMs: answer.rttMs });
    } catch (error) {
      outcomes.push({ observer: text, failed: codeOf(error) });
    }
  }
  const local = localOf(context, bind?.port ?? 0);
  const address = observed.address(realm.nowMs(), family);
  const mapping = observed.mapping(realm.nowMs(), family, local);
  return { transport: 'tcp', family, observers: outcomes, address, mapping, filtering: undefined, hairpin: undefined };
}

/** Asks from a port of the upper half, chosen at random: connections to all observers must leave from one port that is named. */
async function firstFree<T>({ realm, family }: Context, ask: (from: SocketAddress) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const [high, low] = realm.random(2) as unknown as [number, number];
    const port = 32_768 + (((high << 8) | low) >> 1);
    try {
      return await ask({ ip: anyIp(family), port });
    } catch (error) {
      if (!P2PError.is(error, 'in_use') || tries === PORT_TRIES) throw error;
    }
  }
}
