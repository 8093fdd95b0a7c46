/** One exchange of keys: curve25519-sha256 (RFC 8731). */

import { hash, x25519PrivateKey } from '#crypto';
import type { X25519PrivateKey } from '../../crypto/suite.ts';
import { type Bytes, concatBytes, encodeText } from '../../base/bytes.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { Signer } from '../../identity/key-algorithm.ts';
import { decodeSshKey, sshNumber, sshWireKey } from '../../identity/ssh-key.ts';
import { type Agreement, agree, KEY_BYTES, readKexInit, type SshEnd, writeKexInit } from './algorithms.ts';
import { MSG } from './constants.ts';
import type { SshFault } from './faults.ts';
import { PacketKey } from './packets.ts';
import { byte, SshReader, string } from './wire.ts';

/** What an exchange is made with. */
export interface KeyExchangeOptions {
  readonly end: SshEnd;
  /** This side's key; a server signs with it. */
  readonly signer: Signer;
  /** The version lines of both ends, without their ends. */
  readonly versions: Readonly<Record<SshEnd, Bytes>>;
  readonly cookie: Uint8Array;
  /** 32 bytes for the key that is used once. */
  readonly seed: Uint8Array;
  /** The hash of the first exchange; `undefined`: this is the first. */
  readonly sessionId: Bytes | undefined;
}

/** The result of an exchange. */
export interface Exchanged {
  readonly sessionId: Bytes;
  readonly toServer: PacketKey;
  readonly toClient: PacketKey;
  readonly agreement: Agreement;
  /** The key of the server, which has proven it; for a client. */
  readonly hostKey: PublicKey | undefined;
}

export class KeyExchange {
  /** The payload of this side's KEXINIT. */
  readonly init: Bytes;
  readonly #options: KeyExchangeOptions;
  readonly #ephemeral: X25519PrivateKey;
  #theirInit: Bytes | undefined;
  #agreement: Agreement | undefined;
  #skips = false;

  constructor(options: KeyExchangeOptions) {
    this.#options = options;
    this.#ephemeral = x25519PrivateKey(options.seed);
    this.init = writeKexInit(options.end, options.cookie, options.sessionId === undefined);
  }

  /** The result of the negotiation, once the peer's KEXINIT has come. */
  get agreement(): Agreement | undefined {
    return this.#agreement;
  }

  /** Handles the peer's KEXINIT. @returns a payload to send, if there is one, or the fault */
  handleInit(payload: Bytes): Bytes | SshFault | undefined {
    const { end } = this.#options;
    const theirs = readKexInit(payload);
    if (theirs === undefined) return 'malformed';
    const agreement = agree(end, readKexInit(this.init)!, theirs);
    if (agreement === undefined) return 'no_algorithm';
    this.#theirInit = payload.slice();
    this.#agreement = agreement;
    this.#skips = agreement.skipsGuess;
    return end === 'client' ? concatBytes(byte(MSG.KEX_ECDH_INIT), string(this.#ephemeral.publicKey)) : undefined;
  }

  /** Handles a message of the method. @returns the result, `'skipped'` for a wrong guess, or the fault */
  handle(payload: Bytes): (Exchanged & { readonly reply: Bytes | undefined }) | SshFault | 'skipped' {
    if (this.#agreement === undefined) return 'unexpected';
    if (this.#skips) {
      this.#skips = false;
      return 'skipped';
    }
    const isClient = this.#options.end === 'client';
    if (payload[0] !== (isClient ? MSG.KEX_ECDH_REPLY : MSG.KEX_ECDH_INIT)) return 'unexpected';
    return isClient ? this.#handleReply(payload) : this.#handleOffer(payload);
  }

  #handleOffer(payload: Bytes): (Exchanged & { readonly reply: Bytes }) | SshFault {
    const reader = new SshReader(payload, 1);
    const theirs = reader.string();
    if (!reader.isComplete) return 'malformed';
    const secret = this.#ephemeral.sharedSecret(theirs);
    if (secret === undefined) return 'malformed';
    const { signer } = this.#options;
    const hostKey = sshWireKey(signer.publicKey);
    const digest = this.#digest(hostKey, theirs, this.#ephemeral.publicKey, secret);
    const signature = concatBytes(string('ssh-ed25519'), string(signer.sign(digest)));
    const reply = concatBytes(
      byte(MSG.KEX_ECDH_REPLY),
      string(hostKey),
      string(this.#ephemeral.publicKey),
      string(signature),
    );
    return { ...this.#finish(digest, secret, undefined), reply };
  }

  #handleReply(payload: Bytes): (Exchanged & { readonly reply: undefined }) | SshFault {
    const reader = new SshReader(payload, 1);
    const [wireKey, theirs, signature] = [reader.string(), reader.string(), reader.string()];
    if (!reader.isComplete) return 'malformed';
    const { hostKey: algorithm } = this.#agreement!;
    const key = decodeSshKey(wireKey);
    if (key === undefined || key.name !== (algorithm.startsWith('rsa-') ? 'ssh-rsa' : algorithm)) return 'malformed';
    const secret = this.#ephemeral.sharedSecret(theirs);
    if (secret === undefined) return 'malformed';
    const digest = this.#digest(wireKey, this.#ephemeral.publicKey, theirs, secret);
    if (!key.verify(algorithm, digest, signature)) return 'bad_signature';
    return { ...this.#finish(digest, secret, key.publicKey), reply: undefined };
  }

  /** The exchange hash (RFC 8731 §3.1 and RFC 5656 §4). */
  #digest(hostKey: Bytes, ofClient: Bytes, ofServer: Bytes, secret: Bytes): Bytes {
    const { end, versions } = this.#options;
    const [clientInit, serverInit] = end === 'client' ? [this.init, this.#theirInit!] : [this.#theirInit!, this.init];
    const parts = [versions.client, versions.server, clientInit, serverInit, hostKey, ofClient, ofServer];
    return hash('sha256', concatBytes(...parts.map(string), sshNumber(secret)));
  }

  /** The keys of both directions (RFC 4253 §7.2). */
  #finish(digest: Bytes, secret: Bytes, hostKey: PublicKey | undefined): Exchanged {
    const agreement = this.#agreement!;
    const sessionId = this.#options.sessionId ?? digest;
    const shared = concatBytes(sshNumber(secret), digest);
    const derive = (letter: string): Bytes => hash('sha256', concatBytes(shared, encodeText(letter), sessionId));
    const key = (cipher: string, iv: string, letter: string): PacketKey =>
      new PacketKey(derive(letter).subarray(0, KEY_BYTES[cipher] ?? 32), derive(iv));
    secret.fill(0);
    const keys = {
      toServer: key(agreement.toServer, 'A', 'C'),
      toClient: key(agreement.toClient, 'B', 'D'),
    };
    shared.fill(0);
    return { sessionId, ...keys, agreement, hostKey };
  }
}
