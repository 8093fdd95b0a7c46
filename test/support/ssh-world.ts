/** SSH swarms on a network in memory, in virtual time, and foreign ends that say what a test wants. */

import { type Bytes, decodeText } from '../../src/base/bytes.ts';
import type { Signer } from '../../src/identity/key-algorithm.ts';
import { MSG } from '../../src/protocols/ssh/constants.ts';
import { bool, byte, string } from '../../src/protocols/ssh/wire.ts';
import type { Pipe } from '../../src/net/pipe.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { createMemoryRealm, type MemoryRealm } from '../../src/swarms/memory/index.ts';
import type { SshAddr } from '../../src/swarms/ssh/address.ts';
import { openSshSwarm, type SshSwarm, type SshSwarmOptions } from '../../src/swarms/ssh/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { type FlatNetwork, flatNetwork } from './flat-network.ts';
import { RawSsh } from './raw-ssh.ts';
import { SshSide } from './ssh-pair.ts';

/** Something that takes bytes and has bytes to send: {@link RawSsh}, or a whole machine. */
interface End {
  take(): Bytes;
  receive(bytes: Bytes): void;
}

/** An end behind a connection of the network. */
export interface Connected<E extends End> {
  readonly end: E;
  readonly pipe: Pipe;
  /** Sends what the end has to say. */
  flush(): void;
  /** Settles when the connection has ended. */
  readonly closed: Promise<void>;
}

export interface SshWorld {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly network: FlatNetwork;
  /** Opens a swarm with the test key `i` at port 4000 of the host with this IP. */
  readonly open: (i: number, ip: string, options?: Partial<SshSwarmOptions>) => Promise<SshSwarm>;
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  /** Lets things happen for a while. */
  readonly pass: (ms?: number) => Promise<void>;
  /** A client that exchanges keys and says nothing more by itself. */
  readonly rawClient: (ip: string, to: SshAddr, signer?: Signer) => Promise<Connected<RawSsh>>;
  /** A peer as go-p2p is one: with global requests and without frames. It has the test key 9, unless told otherwise. */
  readonly foreignClient: (ip: string, to: SshAddr, key?: number) => Promise<Connected<SshSide>>;
  /** Listens as such a peer; every connection becomes one. */
  readonly foreignServer: (ip: string, key: number) => Promise<Connected<SshSide>[]>;
}

export function sshWorld({
  realmSeed = 5,
  latencyMs = 0,
}: { readonly realmSeed?: number; readonly latencyMs?: number } = {}): SshWorld {
  const realm = createMemoryRealm({ clock: 'virtual', seed: realmSeed });
  const network = flatNetwork({ realm, latencyMs });
  const run = <T>(promise: Promise<T>): Promise<T> => realm.clock.run(promise);
  const pass = (ms = 100): Promise<void> => realm.clock.advance(ms);
  const connect = async <E extends End>(end: E, pipe: Pipe): Promise<Connected<E>> => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const flush = (): void => {
      const bytes = end.take();
      if (bytes.length > 0) pipe.write([bytes], () => {});
    };
    pipe.sink = {
      onData: (chunk) => {
        end.receive(chunk);
        flush();
      },
      onEnd: () => pipe.destroy(),
      onClose: () => resolve(),
    };
    pipe.resume();
    flush();
    return { end, pipe, flush, closed };
  };
  const dial = async <E extends End>(ip: string, to: SshAddr, end: E): Promise<Connected<E>> => {
    const { signal } = new AbortController();
    const { pipe } = await run(network.host(ip).dial({ remote: to.inner, signal }));
    const connected = await connect(end, pipe);
    await pass();
    return connected;
  };
  return {
    realm,
    network,
    run,
    pass,
    open: (i, ip, options) =>
      run(openSshSwarm({ privateKey: testKey(i), realm, network: network.host(ip), bind: `${ip}:4000`, ...options })),
    rawClient: (ip, to, signer = testKey(9)) => dial(ip, to, new RawSsh('client', signer)),
    foreignClient: (ip, to, key = 9) =>
      dial(ip, to, new SshSide('client', key, { frames: false, maxPacketBytes: 262_144 })),
    foreignServer: async (ip, key) => {
      const all: Connected<SshSide>[] = [];
      await run(
        network.host(ip).listen({
          bind: { ip, port: 4000 },
          backlog: 10,
          reusePort: false,
          onConnection: ({ pipe }) => {
            const end = new SshSide('server', key, { frames: false, maxPacketBytes: 262_144 });
            void connect(end, pipe).then((connected) => all.push(connected));
          },
          onError: () => {},
        }),
      );
      return all;
    },
  };
}

/** Sends a global request as go-p2p does. */
export function request(peer: Connected<SshSide>, wantsAnswer: boolean, payload: Uint8Array, name = ''): void {
  peer.end.transport.send([byte(MSG.GLOBAL_REQUEST), string(name), bool(wantsAnswer), payload], peer.end.nowMs);
  peer.flush();
}

/** Answers that have come, and what they are. */
export const answers = ({ end }: Connected<SshSide>): readonly (string | undefined)[] =>
  end.payloads
    .filter(([type]) => type === MSG.REQUEST_SUCCESS || type === MSG.REQUEST_FAILURE)
    .map((payload) => (payload[0] === MSG.REQUEST_SUCCESS ? decodeText(payload.subarray(1)) : undefined));

/** What a swarm is told, as texts with the fingerprint of the source. */
export function inboxOf(swarm: SshSwarm): string[] {
  const come: string[] = [];
  swarm.listen(({ src, payload }) => void come.push(`${src.fingerprint} ${decodeText(payload)}`));
  return come;
}
