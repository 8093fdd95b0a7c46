/** What every system in the QUIC comparison can do, and shoal's own among them. */

import { readFileSync } from 'node:fs';

import { generateKey } from '../src/identity/keys.ts';
import { openQuicSwarm } from '../src/swarms/quic/index.ts';

/** A connection to a server. */
export interface BenchConnection {
  readonly ask: (request: Uint8Array) => Promise<Uint8Array>;
  readonly close: () => void;
}

/** A dialling endpoint. */
export interface BenchClient {
  readonly connect: (info: string) => Promise<BenchConnection>;
  readonly close: () => void;
}

/** A system. `serve` answers what `connect` needs; each call makes another server. */
export interface BenchSystem {
  readonly serve: (answer: (request: Uint8Array) => Uint8Array, identity: BenchIdentity) => Promise<string>;
  readonly client: (identity: BenchIdentity) => Promise<BenchClient>;
}

/** For systems that take certificates: PEM. */
export interface BenchIdentity {
  readonly cert: string;
  readonly key: string;
}

/** What a peer is told to do. */
export type Order =
  | { readonly do: 'serve'; readonly count: number }
  | { readonly do: 'connect'; readonly info: string; readonly count: number }
  | { readonly do: 'asks'; readonly bytes: number; readonly inFlight: number; readonly forMs: number }
  | { readonly do: 'handshakes'; readonly infos: readonly string[]; readonly inFlight: number }
  | { readonly do: 'memory' };

/** What it answers: its servers, or numbers. */
export interface Report {
  readonly infos?: readonly string[];
  readonly count?: number;
  readonly ms?: number;
  readonly rssBytes?: number;
}

/** Empty answers are no fair test of reading, so large requests get one byte back; others come back as they are. */
const ECHO_BYTES = 65_536;

/** What every server answers. */
export function answer(request: Uint8Array): Uint8Array {
  return request.length > ECHO_BYTES ? Uint8Array.of(1) : request;
}

const identities: Record<string, { readonly chain: string[]; readonly privateKey: string }> = JSON.parse(
  readFileSync(new URL('../test/vectors/quic-identities.json', import.meta.url), 'utf8'),
);

function pem(label: string, base64: string): string {
  return `-----BEGIN ${label}-----\n${base64.match(/.{1,64}/g)!.join('\n')}\n-----END ${label}-----\n`;
}

export function identity(): BenchIdentity {
  const { chain, privateKey } = identities['alice']!;
  return { cert: pem('CERTIFICATE', chain[0]!), key: pem('PRIVATE KEY', privateKey) };
}

function shoal(maxMtuBytes?: number): BenchSystem {
  return {
    serve: async (respond) => {
      const swarm = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey: generateKey(), maxMtuBytes });
      swarm.serve(({ payload }) => respond(payload));
      return swarm.addr.text;
    },
    client: async () => {
      const swarm = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey: generateKey(), maxMtuBytes });
      return {
        connect: async (info) => {
          const dst = swarm.parseAddr(info);
          await swarm.lookupPublicKey(dst);
          return { ask: (request) => swarm.ask(dst, request), close: () => {} };
        },
        close: () => void swarm.close(),
      };
    },
  };
}

/** A name is `shoal`, `shoal-jumbo` (9000-byte datagrams), or a file in `rivals/quic`. */
export async function systemOf(name: string): Promise<BenchSystem> {
  if (name === 'shoal') return shoal();
  if (name === 'shoal-jumbo') return shoal(9000);
  return (await import(new URL(`rivals/quic/${name}.mjs`, import.meta.url).href)) as BenchSystem;
}
