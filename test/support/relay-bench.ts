/** A relay's machine, driven by hand. */

import assert from 'node:assert/strict';

import type { Bytes } from '../../src/base/bytes.ts';
import { memoryAddr, type MemoryAddr } from '../../src/net/memory/address.ts';
import {
  bytesOfPeerId,
  decodeRelayReply,
  encodeReserve,
  encodeSend,
  type RelayReply,
} from '../../src/protocols/relay/messages.ts';
import { RelayServer } from '../../src/protocols/relay/server.ts';
import type { RelaySource, ResolvedRelayBudgets } from '../../src/protocols/relay/server-options.ts';
import { idOf } from './relay-world.ts';

export const BUDGETS: ResolvedRelayBudgets = {
  maxPeers: 4,
  maxPeersPerSource: 2,
  maxMinutes: 10,
  maxGuests: 3,
  bytesPerSecond: 10_000,
  bytesPerSecondPerSource: 15_000,
  totalBytesPerSecond: 20_000,
};
export const TOKEN: Bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

export const source = (i: number, ip = `10.0.${i}.1`): RelaySource<MemoryAddr> => ({
  id: idOf(i),
  addr: memoryAddr(i),
  host: ip,
  observed: { ip, port: 1000 + i },
  mtu: 1232,
});

/** A relay, and what it has said. */
export class RelayBench {
  readonly server: RelayServer<MemoryAddr>;
  now = 0;
  readonly events: string[] = [];

  constructor(budgets: Partial<ResolvedRelayBudgets> = {}, judges = false, newest?: number) {
    this.server = new RelayServer<MemoryAddr>(0, { ...BUDGETS, ...budgets }, judges, newest);
  }

  /** @returns what it sends because of a message: to whom, and what. */
  say(from: RelaySource<MemoryAddr>, bytes: Bytes): (RelayReply & { readonly to: number })[] {
    this.server.handleMessage(this.now, from, bytes);
    return this.taken();
  }

  taken(): (RelayReply & { readonly to: number })[] {
    const replies: (RelayReply & { readonly to: number })[] = [];
    for (let next = this.server.poll(); next.type !== 'wait'; next = this.server.poll()) {
      if (next.type === 'event') {
        const { event } = next;
        this.events.push(event.type === 'dropped' ? event.reason : event.type);
      } else {
        const { message } = decodeRelayReply(next.transmit.bytes);
        assert.ok(typeof message !== 'string', 'a relay sends valid messages');
        replies.push({ ...message, to: next.transmit.to.n });
      }
    }
    return replies;
  }

  reserve(i: number, ip?: string): string {
    const [answer] = this.say(source(i, ip), encodeReserve(1, TOKEN, 0));
    return answer?.type === 'refused' ? answer.reason : (answer?.type ?? 'nothing');
  }

  send(from: number, to: number, bytes = 1): string[] {
    const said = this.say(source(from), encodeSend(1, bytesOfPeerId(idOf(to)), new Uint8Array(bytes)));
    return said.map(({ type, to: whom }) => `${type} to ${whom}`);
  }
}
