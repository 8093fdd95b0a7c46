/** What connection managers say to each other beside the program, by the number of the service. */

import type { Message } from '../core/message.ts';
import { type Answer, REFUSED } from '../swarm-kit/ask-slot.ts';
import type { CounterSet } from '../swarm-kit/counter-set.ts';
import type { PeerAddr } from './address.ts';

/** Where what peers say to a service goes. */
export interface Service {
  answer(message: Message<PeerAddr>): Promise<Answer> | Answer;
  received(message: Message<PeerAddr>): void;
}

export class Services {
  readonly #counters: CounterSet;
  /** Bounded by the services that there are. */
  readonly #channels = new Map<number, Service>();

  constructor(counters: CounterSet) {
    this.#counters = counters;
  }

  /** What comes for a service is for this channel. */
  set(service: number, channel: Service): void {
    this.#channels.set(service, channel);
  }

  /** Answers a request. Never rejects. */
  serve(service: number, message: Message<PeerAddr>): Promise<Answer> | Answer {
    return this.#channels.get(service)?.answer(message) ?? REFUSED;
  }

  /** A datagram has come. */
  datagram(service: number, message: Message<PeerAddr>): void {
    const channel = this.#channels.get(service);
    if (channel === undefined) this.#counters.countDrop('peers.no_service');
    else channel.received(message);
  }
}
