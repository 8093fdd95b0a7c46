/** A small TURN server (RFC 8656) on any network, for tests: long-term credentials, UDP and TCP, permissions and channels. */

import { type Bytes, decodeText, encodeText } from '../../src/base/bytes.ts';
import { formatSocketAddress, type SocketAddress } from '../../src/base/ip.ts';
import type { Realm } from '../../src/core/realm.ts';
import type { DatagramSocket, Network } from '../../src/net/network.ts';
import { attributeOf, decodeXorAddress, encodeError, encodeXorAddress } from '../../src/protocols/stun/attributes.ts';
import { STUN_ATTRIBUTE } from '../../src/protocols/stun/constants.ts';
import {
  checkIntegrity,
  decodeStun,
  type DecodedStunMessage,
  encodeStun,
  type StunAttribute,
} from '../../src/protocols/stun/message.ts';
import {
  decodeChannelData,
  encodeChannelData,
  isChannelData,
  TurnStreamReader,
} from '../../src/protocols/turn/channel-data.ts';
import { TURN_ATTRIBUTE, TURN_METHOD } from '../../src/protocols/turn/constants.ts';
import { longTermKey } from '../../src/protocols/turn/credentials.ts';

/** How the server behaves; tests change it while it runs. */
export interface TurnServerState {
  nonce: string;
  passwords: ReadonlyMap<string, string>;
  lifetimeS: number;
  /** An error for every request of this method. */
  refuse: ReadonlyMap<number, number>;
  /** IPs that nobody gets a permission for. */
  forbidden: ReadonlySet<string>;
  isSilent: boolean;
  /** Messages of this kind that have come: `Allocate`, `ChannelBind` … with results. */
  readonly log: string[];
}

interface Allocation {
  readonly socket: DatagramSocket;
  readonly reply: (bytes: Bytes) => void;
  readonly isStream: boolean;
  readonly username: string;
  untilMs: number;
  readonly permissions: Map<string, number>;
  readonly channels: Map<number, { readonly peer: SocketAddress; untilMs: number }>;
}

const REALM = 'lab';
const NAMES = new Map<number, string>(Object.entries(TURN_METHOD).map(([name, method]) => [method, name]));
const keyOf = ({ ip, port }: SocketAddress): string => formatSocketAddress(ip, port);
const u32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
const u32Of = (value: Uint8Array | undefined): number =>
  value === undefined ? 600 : new DataView(value.buffer, value.byteOffset, 4).getUint32(0);

export class TurnTestServer {
  readonly state: TurnServerState;
  readonly #network: Network;
  readonly #realm: Realm;
  readonly #ip: string;
  /** By the client's address and transport. Bounded by the test. */
  readonly allocations: Map<string, Allocation> = new Map();

  static async open(network: Network, realm: Realm, ip: string, port = 3478): Promise<TurnTestServer> {
    const server = new TurnTestServer(network, realm, ip);
    const socket = await network.bindUdp({ bind: { ip, port } });
    socket.sink = {
      onDatagram: (bytes, from, fromPort) => {
        const client = { ip: from, port: fromPort };
        server.#handle(`udp ${keyOf(client)}`, client, bytes, (reply) => socket.send(reply, from, fromPort), false);
      },
    };
    await network.listen({
      bind: { ip, port },
      backlog: 16,
      reusePort: false,
      onError: () => undefined,
      onConnection: ({ pipe, remote }) => {
        const reader = new TurnStreamReader();
        const id = `tcp ${keyOf(remote)}`;
        const reply = (bytes: Bytes): void => pipe.write([bytes], () => undefined);
        pipe.sink = {
          onData: (chunk) => {
            reader.push(chunk);
            for (let next = reader.next(); next !== undefined && next !== 'malformed'; next = reader.next()) {
              server.#handle(id, remote, next, reply, true);
            }
          },
          onEnd: () => {
            server.#end(id);
            pipe.end();
          },
          onClose: () => server.#end(id),
        };
        pipe.resume();
      },
    });
    return server;
  }

  private constructor(network: Network, realm: Realm, ip: string) {
    this.#network = network;
    this.#realm = realm;
    this.#ip = ip;
    this.state = {
      nonce: 'nonce-1',
      passwords: new Map([['user', 'secret']]),
      lifetimeS: 600,
      refuse: new Map(),
      forbidden: new Set(),
      isSilent: false,
      log: [],
    };
  }

  #end(id: string): void {
    void this.allocations.get(id)?.socket.close();
    this.allocations.delete(id);
  }

  #handle(id: string, client: SocketAddress, bytes: Bytes, reply: (bytes: Bytes) => void, isStream: boolean): void {
    if (this.state.isSilent) return;
    const now = this.#realm.nowMs();
    const allocation = this.allocations.get(id);
    if (allocation !== undefined && allocation.untilMs <= now) {
      this.#end(id);
      this.state.log.push('expired');
    }
    if (isChannelData(bytes)) {
      const read = decodeChannelData(bytes);
      const channel = read === undefined ? undefined : allocation?.channels.get(read.channel);
      if (read !== undefined && channel !== undefined && channel.untilMs > now)
        this.#toPeer(allocation!, channel.peer, read.data, 'ChannelData');
      return;
    }
    const message = decodeStun(bytes);
    if (message === undefined) return;
    if (message.class === 'indication') {
      const peer = this.#peerIn(message);
      const data = attributeOf(message, TURN_ATTRIBUTE.DATA);
      if (allocation !== undefined && peer !== undefined && data !== undefined)
        this.#toPeer(allocation, peer, data, 'Send');
      return;
    }
    void this.#answer(id, client, bytes, message, reply, isStream);
  }

  #toPeer(allocation: Allocation, peer: SocketAddress, data: Uint8Array, how: string): void {
    if ((allocation.permissions.get(peer.ip) ?? 0) <= this.#realm.nowMs())
      this.state.log.push(`${how} without permission`);
    else {
      this.state.log.push(how);
      allocation.socket.send(data.slice(), peer.ip, peer.port);
    }
  }

  #peerIn(message: DecodedStunMessage): SocketAddress | undefined {
    const value = attributeOf(message, TURN_ATTRIBUTE.XOR_PEER_ADDRESS);
    return value === undefined ? undefined : decodeXorAddress(value, message.transactionId);
  }

  async #answer(
    id: string,
    client: SocketAddress,
    bytes: Bytes,
    message: DecodedStunMessage,
    reply: (bytes: Bytes) => void,
    isStream: boolean,
  ): Promise<void> {
    const { method, transactionId } = message;
    const name = NAMES.get(method) ?? String(method);
    const text = (type: number): string | undefined => {
      const value = attributeOf(message, type);
      return value === undefined ? undefined : decodeText(value);
    };
    const username = text(STUN_ATTRIBUTE.USERNAME);
    const password = username === undefined ? undefined : this.state.passwords.get(username);
    const key = password === undefined ? undefined : longTermKey({ username: username!, password }, REALM);
    const say = (kind: 'success' | 'error', attributes: readonly StunAttribute[], isSigned = true): void => {
      const signed = isSigned && key !== undefined ? { integrityKey: key } : {};
      reply(encodeStun({ class: kind, method, transactionId, attributes }, signed));
    };
    const fail = (code: number): void => {
      this.state.log.push(`${name} ${code}`);
      const challenge = [401, 438].includes(code)
        ? [
            { type: STUN_ATTRIBUTE.REALM, value: encodeText(REALM) },
            { type: STUN_ATTRIBUTE.NONCE, value: encodeText(this.state.nonce) },
          ]
        : [];
      const error = { type: STUN_ATTRIBUTE.ERROR_CODE, value: encodeError({ code, reason: 'because' }) };
      say('error', [error, ...challenge], challenge.length === 0);
    };
    if (message.integrityAt === undefined) return fail(401);
    if (text(STUN_ATTRIBUTE.NONCE) !== this.state.nonce) return fail(438);
    if (key === undefined || !checkIntegrity(bytes, message, key)) return fail(401);
    const refused = this.state.refuse.get(method);
    if (refused !== undefined) return fail(refused);
    const now = this.#realm.nowMs();
    const allocation = this.allocations.get(id);
    const lifetime = [{ type: TURN_ATTRIBUTE.LIFETIME, value: u32(this.state.lifetimeS) }];
    if (method === TURN_METHOD.ALLOCATE) {
      if (allocation !== undefined) return fail(437);
      const made = await this.#allocate(id, username!, reply, isStream);
      this.state.log.push(name);
      const relayed = encodeXorAddress(made.socket.address, transactionId);
      const mapped = encodeXorAddress(client, transactionId);
      return say('success', [
        { type: TURN_ATTRIBUTE.XOR_RELAYED_ADDRESS, value: relayed },
        { type: STUN_ATTRIBUTE.XOR_MAPPED_ADDRESS, value: mapped },
        ...lifetime,
      ]);
    }
    if (allocation === undefined) return fail(437);
    if (allocation.username !== username) return fail(441);
    if (method === TURN_METHOD.REFRESH) {
      const wanted = u32Of(attributeOf(message, TURN_ATTRIBUTE.LIFETIME));
      this.state.log.push(wanted === 0 ? 'REFRESH 0' : name);
      if (wanted === 0) this.#end(id);
      else allocation.untilMs = now + this.state.lifetimeS * 1000;
      return say('success', lifetime);
    }
    const peer = this.#peerIn(message);
    if (peer === undefined) return fail(400);
    if (this.state.forbidden.has(peer.ip)) return fail(403);
    if (method === TURN_METHOD.CHANNEL_BIND) {
      const number = u32Of(attributeOf(message, TURN_ATTRIBUTE.CHANNEL_NUMBER)) >>> 16;
      const bound = allocation.channels.get(number);
      if (bound !== undefined && keyOf(bound.peer) !== keyOf(peer)) return fail(400);
      allocation.channels.set(number, { peer, untilMs: now + 600_000 });
    }
    allocation.permissions.set(peer.ip, now + 300_000);
    this.state.log.push(name);
    return say('success', []);
  }

  async #allocate(id: string, username: string, reply: (bytes: Bytes) => void, isStream: boolean): Promise<Allocation> {
    const socket = await this.#network.bindUdp({ bind: { ip: this.#ip, port: 0 } });
    const allocation: Allocation = {
      socket,
      reply,
      isStream,
      username,
      untilMs: this.#realm.nowMs() + this.state.lifetimeS * 1000,
      permissions: new Map(),
      channels: new Map(),
    };
    socket.sink = {
      onDatagram: (data, ip, port) => {
        if ((allocation.permissions.get(ip) ?? 0) <= this.#realm.nowMs()) return;
        const key = keyOf({ ip, port });
        for (const [number, { peer, untilMs }] of allocation.channels) {
          if (keyOf(peer) !== key || untilMs <= this.#realm.nowMs()) continue;
          reply(encodeChannelData(number, data, isStream));
          return;
        }
        const transactionId = this.#realm.random(12);
        const peer = { type: TURN_ATTRIBUTE.XOR_PEER_ADDRESS, value: encodeXorAddress({ ip, port }, transactionId) };
        const attributes = [peer, { type: TURN_ATTRIBUTE.DATA, value: data }];
        reply(
          encodeStun(
            { class: 'indication', method: TURN_METHOD.DATA, transactionId, attributes },
            { fingerprint: false },
          ),
        );
      },
    };
    this.allocations.set(id, allocation);
    return allocation;
  }
}
