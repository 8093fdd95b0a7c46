/** What PCP and NAT-PMP have in common: one question at a time for each mapping, to port 5351 of the router. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { MAPPING_SERVER_PORT } from './pcp.ts';
import { Transactions } from './transactions.ts';
import type {
  MappingFailure,
  MappingJob,
  MappingProtocol,
  MappingRoute,
  MappingService,
  MappingServiceHost,
} from './types.ts';

interface Asked {
  readonly job: MappingJob;
  readonly isRelease: boolean;
}

const PROBE = 'probe';

export abstract class DatagramService implements MappingService {
  abstract readonly via: MappingProtocol;
  readonly route: MappingRoute;
  readonly gateway: string;
  state: MappingService['state'] = 'probing';
  failure: MappingFailure | undefined;
  detail: string | undefined;
  protected readonly host: MappingServiceHost;
  readonly #transactions: Transactions;
  /** By what answers are told apart by. Bounded by the mappings. */
  readonly #asked = new Map<string, Asked>();

  constructor(host: MappingServiceHost, route: MappingRoute & { readonly gateway: string }) {
    this.host = host;
    this.route = route;
    this.gateway = route.gateway;
    const to = { ip: route.gateway, port: MAPPING_SERVER_PORT };
    this.#transactions = new Transactions((bytes) => host.transmit({ type: 'datagram', from: route.own, to, bytes }));
  }

  /** Asks whether the router is there, and for its epoch. */
  protected abstract probeBytes(): Bytes;
  /** Asks for a mapping. @param lifetime - seconds; 0 removes it. */
  protected abstract mapBytes(job: MappingJob, lifetime: number): Bytes;
  /** What the answer about a mapping is told apart by. */
  protected abstract keyOf(job: MappingJob): string;
  /** A datagram from the router's port, or an announcement of it. */
  abstract handleDatagram(now: Millis, bytes: Uint8Array): void;

  get nextMs(): Millis {
    return this.#transactions.nextMs;
  }

  probe(now: Millis): void {
    this.state = 'probing';
    this.failure = this.detail = undefined;
    this.ask(now, (at) => this.absent(at, 'no_answer'));
  }

  request(now: Millis, job: MappingJob): void {
    const lifetime = Math.max(1, Math.round(job.request.lifetimeMs / 1000));
    this.#begin(now, job, lifetime, (at) => this.host.refused(at, this, job, 'no_answer'));
  }

  release(now: Millis, job: MappingJob): void {
    this.#begin(now, job, 0, (at) => this.host.released(at, job));
  }

  cancel(job: MappingJob): void {
    const key = this.keyOf(job);
    this.#asked.delete(key);
    this.#transactions.end(key);
  }

  check(now: Millis, job: MappingJob): void {
    if (!this.#transactions.has(PROBE)) this.ask(now, (at) => this.host.unsure(at, job));
  }

  handleTimeout(now: Millis): void {
    this.#transactions.handleTimeout(now);
  }

  /** Sends the question of a probe, also to a router that is found. */
  protected ask(now: Millis, failed: (now: Millis) => void): void {
    this.#transactions.begin(now, PROBE, this.probeBytes(), failed);
  }

  /** The router answers. Late answers count as well: who answers at all is there. */
  protected found(now: Millis): void {
    this.#transactions.end(PROBE);
    if (this.state !== 'probing') return;
    this.state = 'found';
    this.host.probed(now, this);
  }

  /** The router does not speak this protocol, or not with this host. */
  protected absent(now: Millis, failure: MappingFailure, detail?: string): void {
    this.#transactions.end(PROBE);
    if (this.state !== 'probing') return;
    this.state = 'absent';
    this.failure = failure;
    this.detail = detail;
    this.host.probed(now, this);
  }

  /** What an answer belongs to. */
  protected asked(key: string): Asked | undefined {
    return this.#asked.get(key);
  }

  /** The question about a mapping is answered. */
  protected settle(job: MappingJob): void {
    this.cancel(job);
  }

  #begin(now: Millis, job: MappingJob, lifetime: number, failed: (now: Millis) => void): void {
    const key = this.keyOf(job);
    this.#asked.set(key, { job, isRelease: lifetime === 0 });
    this.#transactions.begin(now, key, this.mapBytes(job, lifetime), (at) => {
      this.#asked.delete(key);
      failed(at);
    });
  }
}
