/** Every layer that `--stack` knows: one table. A new swarm of the library becomes one more entry here. */

import { readFile } from 'node:fs/promises';

import type { Addr, Realm, Swarm } from 'shoal';
import { fromHex } from 'shoal/bytes';
import type { PrivateKey } from 'shoal/keys';
import { Failure, UsageError } from '../failure.ts';

/**
 * A swarm whose addresses are known at run time only. Everything that a stack gets as an address comes from the same
 * stack's `parseAddr`, `localAddrs` or messages, so no foreign address ever meets it.
 */
export type AnySwarm = Swarm<Addr>;

/** The one place where the address type is forgotten. */
export function anySwarm<A extends Addr>(swarm: Swarm<A>): AnySwarm {
  return swarm as unknown as AnySwarm;
}

/** The implementations whose habits can be taken. */
export const PRESETS = ['go-p2p'] as const;
export type Preset = (typeof PRESETS)[number];

/** What a layer is opened with. */
export interface StackContext {
  readonly realm: Realm;
  /** Where the bottom layer binds to. */
  readonly bind: string;
  /** This node's key; the same for all layers of a stack. */
  readonly privateKey: () => Promise<PrivateKey>;
  /** Speaks as another implementation does, in the layers that know it. */
  readonly preset?: Preset | undefined;
  readonly signal: AbortSignal;
}

/** A layer that has been opened. */
export interface OpenLayer {
  readonly swarm: AnySwarm;
  /** Closes what `swarm.close()` leaves open. */
  readonly close?: (() => Promise<void>) | undefined;
}

/** Opens a layer over the one below it; a bottom layer has none. */
export type OpenStep = (context: StackContext, inner: AnySwarm | undefined) => Promise<OpenLayer>;

/** One entry of the table. */
export interface Layer {
  readonly name: string;
  /** How it is written in `--stack`. */
  readonly form: string;
  /** One line for `--help`. */
  readonly summary: string;
  /** `bottom` opens a socket, `above` wraps what is below it, `both` can do either. */
  readonly place: 'bottom' | 'above' | 'both';
  /** The fewest bytes that a message of the layer below must carry. */
  readonly minInnerBytes?: number | undefined;
  /** Whether it brings asks and keys; the layers above keep them or bring their own. */
  readonly asks?: boolean | undefined;
  readonly keys?: boolean | undefined;
  /** @param args - what follows the name, split at colons. @throws {UsageError} when they make no sense. */
  readonly configure: (args: readonly string[]) => OpenStep;
}

const CHANNEL_KINDS = ['string', 'u16', 'u32', 'u64', 'varint'] as const;
type ChannelKind = (typeof CHANNEL_KINDS)[number];

/** For layers that have nothing to say after their name. */
function plain(name: string, open: OpenStep): Layer['configure'] {
  return (args) => {
    if (args.length > 0) {
      throw new UsageError(`Cannot take ${name}:${args.join(':')}: write ${name}, it has no settings`);
    }
    return open;
  };
}

function channelOf([kind, ...rest]: readonly string[]): { readonly kind: ChannelKind; readonly id: string } {
  const id = rest.join(':');
  const known = CHANNEL_KINDS.find((each) => each === kind);
  if (known === undefined || id === '') {
    throw new UsageError(
      `Cannot take mux:${[kind, ...rest].join(':')}: write mux:KIND:ID, as in mux:string:chat; KIND is one of ${CHANNEL_KINDS.join(', ')}`,
    );
  }
  if (known !== 'string' && !/^\d{1,20}$/.test(id)) {
    throw new UsageError(`Cannot take mux:${known}:${id}: a ${known} channel is a whole number, as in mux:${known}:7`);
  }
  return { kind: known, id };
}

/** The key of a mask. @throws {Failure} when the file cannot be read or has no key; nothing of it is quoted. */
async function readMaskKey(file: string): Promise<Uint8Array> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Failure(`Cannot read mask key ${file}: ${cause.code ?? 'it is no file'}`, { cause });
  });
  const digits = text.trim();
  if (!/^[\da-f]{64}$/i.test(digits)) throw new Failure(`Cannot use mask key ${file}: expected 64 hexadecimal digits`);
  return fromHex(digits);
}

/** All layers, bottom ones first. */
export const LAYERS: readonly Layer[] = [
  {
    name: 'udp',
    form: 'udp',
    summary: 'datagrams of up to 1232 bytes; anyone on the path can read and forge them',
    place: 'bottom',
    configure: plain('udp', async ({ realm, bind, signal }) => {
      const { openUdpSwarm } = await import('shoal/udp');
      return { swarm: anySwarm(await openUdpSwarm({ realm, bind, signal })) };
    }),
  },
  {
    name: 'tcp',
    form: 'tcp',
    summary: 'encrypted, reliable, ordered, up to 16 MiB, asks; opens a TCP socket',
    place: 'bottom',
    asks: true,
    keys: true,
    configure: plain('tcp', async ({ realm, bind, signal, privateKey }) => {
      const { openTcpSwarm } = await import('shoal/tcp');
      return { swarm: anySwarm(await openTcpSwarm({ realm, bind, signal, privateKey: await privateKey() })) };
    }),
  },
  {
    name: 'ssh',
    form: 'ssh',
    summary: 'encrypted, reliable, ordered, up to 128 KiB, asks; SSH with the messages of go-p2p; opens a TCP socket',
    place: 'bottom',
    asks: true,
    keys: true,
    configure: plain('ssh', async ({ realm, bind, signal, privateKey }) => {
      const { openSshSwarm } = await import('shoal/ssh');
      return { swarm: anySwarm(await openSshSwarm({ realm, bind, signal, privateKey: await privateKey() })) };
    }),
  },
  {
    name: 'quic',
    form: 'quic',
    summary: 'encrypted, reliable, up to 1 MiB, asks; at the bottom it opens a UDP socket of its own',
    place: 'both',
    minInnerBytes: 1200,
    asks: true,
    keys: true,
    configure: plain('quic', async ({ realm, bind, signal, privateKey, preset }, inner) => {
      const { loadQuicEngine, openQuicSwarm, quic } = await import('shoal/quic');
      const key = await privateKey();
      if (inner === undefined) {
        return { swarm: anySwarm(await openQuicSwarm({ realm, bind, signal, preset, privateKey: key })) };
      }
      await loadQuicEngine();
      return { swarm: anySwarm(quic(inner, { preset, privateKey: key })) };
    }),
  },
  {
    name: 'p2pke',
    form: 'p2pke',
    summary: 'encrypted and authenticated, lossy as what is below it; 20 bytes less room',
    place: 'above',
    minInnerBytes: 166,
    keys: true,
    configure: plain('p2pke', async ({ privateKey }, inner) => {
      const { p2pke } = await import('shoal/p2pke');
      return { swarm: anySwarm(p2pke(inner!, { privateKey: await privateKey() })) };
    }),
  },
  {
    name: 'mask',
    form: 'mask:FILE',
    summary: 'datagrams look random; FILE has the key of both sides: 64 hexadecimal digits; 29 bytes less room',
    place: 'above',
    minInnerBytes: 30,
    configure: (args) => {
      const file = args.join(':');
      if (file === '') throw new UsageError('Cannot take mask: write mask:FILE, with the file that has the key');
      return async (_context, inner) => {
        const { mask } = await import('shoal/mask');
        return { swarm: mask<Addr>(inner!, { key: await readMaskKey(file) }) };
      };
    },
  },
  {
    name: 'frag',
    form: 'frag',
    summary: 'larger messages in parts, as many as 255; both sides need it',
    place: 'above',
    minInnerBytes: 16,
    configure: plain('frag', async (_context, inner) => {
      const { frag } = await import('shoal/frag');
      return { swarm: frag<Addr, AnySwarm>(inner!) };
    }),
  },
  {
    name: 'mbapp',
    form: 'mbapp',
    summary: 'asks, and messages of up to 1 MiB, over any layer',
    place: 'above',
    minInnerBytes: 64,
    asks: true,
    configure: plain('mbapp', async ({ preset }, inner) => {
      const { mbapp } = await import('shoal/mbapp');
      return { swarm: mbapp<Addr>(inner!, { preset }) };
    }),
  },
  {
    name: 'mux',
    form: 'mux:KIND:ID',
    summary: `one channel of several; KIND is ${CHANNEL_KINDS.join(', ')}; as in mux:string:chat`,
    place: 'above',
    minInnerBytes: 16,
    configure: (args) => {
      const { kind, id } = channelOf(args);
      return async (_context, inner) => {
        const { mux } = await import('shoal/mux');
        if (kind === 'string') {
          const channels = mux<Addr, AnySwarm, 'string'>(inner!, kind);
          return { swarm: channels.open(id), close: () => channels.close() };
        }
        if (kind === 'u16' || kind === 'u32') {
          const channels = mux<Addr, AnySwarm, 'u16' | 'u32'>(inner!, kind);
          return { swarm: channels.open(Number(id)), close: () => channels.close() };
        }
        const channels = mux<Addr, AnySwarm, 'u64' | 'varint'>(inner!, kind);
        return { swarm: channels.open(BigInt(id)), close: () => channels.close() };
      };
    },
  },
];

/** What a layer with asks or keys is called, for people who lack one. */
export function layersWith(ability: 'asks' | 'keys'): string {
  return LAYERS.filter((layer) => layer[ability] === true)
    .map(({ name }) => name)
    .join(' or ');
}
