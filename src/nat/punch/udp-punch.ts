/** One punch over UDP: the machine with its sockets, its clock and its result. */

import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import { P2PError } from '../../core/errors.ts';
import type { Realm } from '../../core/realm.ts';
import type { DatagramSocket } from '../../net/network.ts';
import {
  PunchMachine,
  type PunchEvent,
  type PunchMachineOptions,
  type PunchTransmit,
  type PunchVerdict,
  RANDOM_SOCKETS,
} from '../../protocols/punch/machine.ts';
import type { PunchMessage } from '../../protocols/punch/message.ts';
import { Driver } from '../../runtime/driver.ts';
import type { PunchedPath } from './puncher.ts';
import type { DatagramFilter, PunchingSocket } from './punching.ts';

/** What a punch is made with. */
export interface UdpPunchOptions {
  readonly realm: Realm;
  readonly socket: PunchingSocket;
  readonly machine: PunchMachineOptions;
  /** What comes by another socket. */
  readonly filter: (socket: number, via: DatagramSocket) => DatagramFilter;
  /** A search for random ports begins, or has ended. */
  readonly random: (isRunning: boolean) => void;
  readonly done: (path: PunchedPath) => void;
  readonly failed: (error: unknown) => void;
  /** It takes no messages any more. */
  readonly over: () => void;
}

export class UdpPunch {
  readonly #options: UdpPunchOptions;
  readonly #startedMs: number;
  readonly #machine: PunchMachine;
  readonly #driver: Driver<PunchTransmit, PunchEvent>;
  /** Beside the swarm's own. Bounded by the machine, at {@link RANDOM_SOCKETS}. */
  readonly #sockets = new Map<number, DatagramSocket>();
  /** Those that the machine wants. Bounded as the sockets. */
  readonly #wanted = new Set<number>();
  /** Of the path that was found; the swarm's socket closes it. */
  #routed: DatagramSocket | undefined;
  #isSearching = false;
  #isDone = false;
  #isOver = false;

  constructor(options: UdpPunchOptions) {
    this.#options = options;
    const { realm } = options;
    this.#startedMs = realm.nowMs();
    this.#machine = new PunchMachine(this.#startedMs, options.machine);
    this.#driver = new Driver(this.#machine, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: (event) => this.#event(event),
      failed: (bug) => {
        options.failed(bug);
        this.close();
      },
      background: () => this.#isDone,
    });
  }

  begin(): void {
    this.#driver.poll();
  }

  handle(socket: number, from: SocketAddress, message: PunchMessage): PunchVerdict {
    const verdict = this.#machine.handleMessage(this.#options.realm.nowMs(), socket, from, message);
    this.#driver.poll();
    return verdict;
  }

  /** The caller has got its result, or wants none any more. */
  giveUp(): void {
    if (!this.#isDone) this.close();
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#driver.stop();
    this.#wanted.clear();
    for (const socket of this.#sockets.values()) if (socket !== this.#routed) void socket.close();
    this.#sockets.clear();
    if (this.#isSearching) this.#options.random(false);
    this.#isSearching = false;
    this.#options.over();
  }

  #transmit({ socket, to, bytes, ttl }: PunchTransmit): void {
    if (socket === 0) this.#options.socket.sendDirectly(bytes, to, ttl);
    else {
      const other = this.#sockets.get(socket);
      other?.send(bytes, to.ip, to.port, other.mayWait ? undefined : ttl);
    }
  }

  #event(event: PunchEvent): void {
    if (event.type === 'open') void this.#open(event.socket);
    else if (event.type === 'close') this.#close(event.socket);
    else if (event.type === 'random') {
      this.#isSearching = true;
      this.#options.random(true);
    } else if (event.type === 'done') this.#done(event.socket, event.remote, event.rttMs);
    else if (event.type === 'failed') {
      this.#options.failed(this.#failure());
      this.close();
    } else this.close();
  }

  async #open(socket: number): Promise<void> {
    this.#wanted.add(socket);
    let opened: DatagramSocket;
    try {
      opened = await this.#options.socket.bindAnother();
    } catch {
      return; // The system has no more of them: the others go on.
    }
    if (!this.#wanted.has(socket)) {
      await opened.close();
      return;
    }
    const filter = this.#options.filter(socket, opened);
    opened.sink = { onDatagram: (payload, ip, port) => void filter(payload, ip, port) };
    this.#sockets.set(socket, opened);
    this.#machine.socketOpened(this.#options.realm.nowMs(), socket);
    this.#driver.poll();
  }

  #close(socket: number): void {
    this.#wanted.delete(socket);
    void this.#sockets.get(socket)?.close();
    this.#sockets.delete(socket);
  }

  #done(socket: number, remote: SocketAddress, rttMs: number): void {
    const winner = this.#sockets.get(socket);
    this.#wanted.clear();
    for (const [other, opened] of this.#sockets) if (other !== socket) void opened.close();
    this.#sockets.clear();
    const { realm, socket: main, filter } = this.#options;
    if (winner === undefined) main.unroute(formatSocketAddress(remote.ip, remote.port));
    else {
      // The punch goes on answering by it; closing it is the route's from now on.
      this.#sockets.set(socket, winner);
      this.#routed = winner;
      main.route(remote, winner, filter(socket, winner));
    }
    this.#isDone = true;
    if (this.#isSearching) this.#options.random(false);
    this.#isSearching = false;
    const { probes } = this.#machine;
    this.#options.done({ remote, rttMs, probes, tookMs: realm.nowMs() - this.#startedMs });
  }

  #failure(): P2PError {
    const { plan } = this.#options.machine;
    const { probes, heard } = this.#machine;
    const tried = plan.targets.map(({ to }) => formatSocketAddress(to.ip, to.port)).join(', ');
    const guessed = plan.guess === undefined ? '' : ` and ports of ${plan.guess.ip}`;
    const opened = plan.openTo === undefined ? '' : ` from ${RANDOM_SOCKETS} sockets`;
    const came =
      heard > 0 ? 'probes of the peer arrive here, and those from here are not answered' : 'nothing came back';
    const left = plan.left === '' ? '' : `; ${plan.left}`;
    const message = `Cannot punch: ${probes} probes to ${tried}${guessed}${opened}, ${came}${left}`;
    return new P2PError('timeout', 'path', message);
  }
}
