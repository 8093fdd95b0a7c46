/** The negotiation of algorithms (RFC 4253 §7.1). */

import { type Bytes, concatBytes } from '../../base/bytes.ts';
import { MSG } from './constants.ts';
import { bool, byte, names, SshReader, uint32 } from './wire.ts';

const KEX = ['curve25519-sha256', 'curve25519-sha256@libssh.org'] as const;
/** Algorithms of host keys that are verified; the first is what this side signs with. */
const HOST_KEYS = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256'] as const;
const CIPHERS = ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com'] as const;
/** The ciphers bring their own authentication; a list must have a name all the same. */
const MACS = ['hmac-sha2-256'] as const;
const COMPRESSION = ['none'] as const;

/** Signatures of clients that are verified: the value of `server-sig-algs` (RFC 8308 §3.1). */
export const SIGNATURES: readonly string[] = HOST_KEYS;

const STRICT = { client: 'kex-strict-c-v00@openssh.com', server: 'kex-strict-s-v00@openssh.com' } as const;
const EXT_INFO = { client: 'ext-info-c', server: 'ext-info-s' } as const;

/** The end of a connection: the client is the side that dialled. */
export type SshEnd = 'client' | 'server';

/** The key bytes of a cipher. */
export const KEY_BYTES: Readonly<Record<string, number>> = {
  'aes256-gcm@openssh.com': 32,
  'aes128-gcm@openssh.com': 16,
};

/** The lists of a KEXINIT, in their order. */
export interface KexInit {
  readonly kex: readonly string[];
  readonly hostKeys: readonly string[];
  readonly toServer: readonly string[];
  readonly toClient: readonly string[];
  readonly compressionToServer: readonly string[];
  readonly compressionToClient: readonly string[];
  /** Whether a message follows that was sent in the hope that the peer prefers the same. */
  readonly guesses: boolean;
}

/** The payload of this side's KEXINIT. @param cookie - 16 random bytes. */
export function writeKexInit(end: SshEnd, cookie: Uint8Array, isFirst: boolean): Bytes {
  const hostKeys = end === 'client' ? HOST_KEYS : HOST_KEYS.slice(0, 1);
  const signals = isFirst ? [EXT_INFO[end], STRICT[end]] : [];
  return concatBytes(
    byte(MSG.KEXINIT),
    cookie,
    names([...KEX, ...signals]),
    names(hostKeys),
    ...[CIPHERS, CIPHERS, MACS, MACS, COMPRESSION, COMPRESSION, [], []].map(names),
    bool(false),
    uint32(0),
  );
}

/** @returns `undefined` when it is malformed. */
export function readKexInit(payload: Bytes): KexInit | undefined {
  const reader = new SshReader(payload, 17);
  const [kex, hostKeys, toServer, toClient] = [reader.names(), reader.names(), reader.names(), reader.names()];
  reader.names();
  reader.names();
  const [compressionToServer, compressionToClient] = [reader.names(), reader.names()];
  reader.names();
  reader.names();
  const guesses = reader.bool();
  reader.uint32();
  if (!reader.isComplete) return undefined;
  return { kex, hostKeys, toServer, toClient, compressionToServer, compressionToClient, guesses };
}

/** What both sides use. */
export interface Agreement {
  readonly hostKey: string;
  readonly toServer: string;
  readonly toClient: string;
  /** Whether the peer's next message is a wrong guess, which is skipped. */
  readonly skipsGuess: boolean;
  /** The peer has strict kex, and takes EXT_INFO. Only in the first KEXINIT of a connection. */
  readonly isStrict: boolean;
  readonly takesExtInfo: boolean;
}

/** @param own - the end that this side is. @returns `undefined` when there is nothing in common. */
export function agree(own: SshEnd, mine: KexInit, theirs: KexInit): Agreement | undefined {
  const [client, server] = own === 'client' ? [mine, theirs] : [theirs, mine];
  const first = (from: (init: KexInit) => readonly string[]): string | undefined => {
    const has = new Set(from(server));
    return from(client).find((name) => has.has(name));
  };
  const peer = own === 'client' ? 'server' : 'client';
  const signals: readonly string[] = [EXT_INFO.client, EXT_INFO.server, STRICT.client, STRICT.server];
  const kex = first((init) => init.kex.filter((name) => !signals.includes(name)));
  const hostKey = first((init) => init.hostKeys);
  const [toServer, toClient] = [first((init) => init.toServer), first((init) => init.toClient)];
  const compressions = [first((init) => init.compressionToServer), first((init) => init.compressionToClient)];
  if (kex === undefined || hostKey === undefined || toServer === undefined || toClient === undefined) return undefined;
  if (compressions.includes(undefined)) return undefined;
  const guessed = theirs.kex[0] === mine.kex[0] && theirs.hostKeys[0] === mine.hostKeys[0];
  return {
    hostKey,
    toServer,
    toClient,
    skipsGuess: theirs.guesses && !guessed,
    isStrict: theirs.kex.includes(STRICT[peer]),
    takesExtInfo: theirs.kex.includes(EXT_INFO[peer]),
  };
}
