/** A virtual internet in virtual time, and what tests on it do all the time. */

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { SocketAddress } from '../../src/base/ip.ts';
import type { DatagramSocket, RawConnection } from '../../src/net/network.ts';
import { createVirtualInternet, type VirtualInternetOptions } from '../../src/net/virtual/internet.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { createMemoryRealm, type MemoryRealm } from '../../src/swarms/memory/index.ts';

/** A socket that remembers what it hears. */
export interface Ear {
  readonly socket: DatagramSocket;
  /** `text from ip:port`. */
  readonly heard: string[];
  /** Codes of what could not be sent. */
  readonly failures: string[];
  say(text: string, to: SocketAddress, ttl?: number): void;
}

export class VirtualWorld {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly net: ReturnType<typeof createVirtualInternet>;
  readonly trace: string[] = [];

  constructor({ seed = 1, ...options }: Partial<VirtualInternetOptions> = {}) {
    this.realm = createMemoryRealm({ clock: 'virtual', seed });
    this.net = createVirtualInternet({
      realm: this.realm,
      seed,
      trace: (line) => void this.trace.push(line),
      ...options,
    });
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.realm.clock.run(promise);
  }

  advance(ms: number): Promise<void> {
    return this.realm.clock.advance(ms);
  }

  async ear(
    host: VirtualHost,
    port = 0,
    options: { readonly ip?: string; readonly reuseAddress?: boolean } = {},
  ): Promise<Ear> {
    const { ip = host.ips.some((each) => each.includes(':')) ? '::' : '0.0.0.0', ...more } = options;
    const socket = await host.network.bindUdp({ bind: { ip, port }, ...more });
    const heard: string[] = [];
    const failures: string[] = [];
    socket.sink = {
      onDatagram: (payload, from, fromPort) => void heard.push(`${decodeText(payload)} from ${from}:${fromPort}`),
      onSendFailed: (error) => void failures.push((error as { readonly code?: string }).code ?? error.message),
    };
    return {
      socket,
      heard,
      failures,
      say: (text, to, ttl) => socket.send(encodeText(text), to.ip, to.port, ttl),
    };
  }

  /** Listens, and remembers the connections that come. */
  async listener(host: VirtualHost, port: number, ip = '0.0.0.0'): Promise<RawConnection[]> {
    const come: RawConnection[] = [];
    await host.network.listen({
      bind: { ip, port },
      backlog: 16,
      reusePort: false,
      onError: () => undefined,
      onConnection: (connection) => void come.push(connection),
    });
    return come;
  }

  /** Dials, until a time. */
  dial(host: VirtualHost, remote: SocketAddress, port?: number, forMs = 10_000): Promise<RawConnection> {
    const given = new AbortController();
    this.realm.clock.setTimer(this.realm.nowMs() + forMs, () => given.abort(new Error('no answer')), {
      background: true,
    });
    const bind = port === undefined ? undefined : { ip: '0.0.0.0', port };
    return host.network.dial({ remote, bind, signal: given.signal });
  }

  /** The address as which a socket is seen by `server`. */
  async seenBy(server: Ear, ear: Ear, at: SocketAddress): Promise<SocketAddress> {
    const before = server.heard.length;
    ear.say('who am I?', at);
    await this.advance(1000);
    const [, ip, port] = / from (.*):([0-9]+)$/.exec(server.heard[before] ?? ' from 0.0.0.0:0')!;
    return { ip: ip!, port: Number(port) };
  }
}

/** What a connection has said, as text. */
export function reading({ pipe }: RawConnection): { text: string; end?: string } {
  const read: { text: string; end?: string } = { text: '' };
  pipe.sink = {
    onData: (chunk) => void (read.text += decodeText(chunk)),
    onEnd: () => (read.end = 'ended'),
    onClose: (error) => (read.end = error === undefined ? 'closed' : error.message),
  };
  pipe.resume();
  return read;
}

/** Says a text on a connection. */
export function saying({ pipe }: RawConnection, text: string): void {
  pipe.write([encodeText(text)], () => undefined);
}
