/**
 * Noise on a connection: a handshake that encrypts and authenticates without certificates. Source: docs/wire/noise.md.
 */

import { type Bytes, concatBytes, copyBytes, EMPTY_BYTES } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { assertBytes, assertFunction, describeValue } from '../base/checks.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { OIDS } from '../identity/oid.ts';
import { encodeSpki } from '../identity/spki.ts';
import { assertPrivateKey, type PrivateKey } from '../identity/private-key.ts';
import {
  type CipherState,
  frameNoiseMessage,
  NOISE_PATTERNS,
  NoiseHandshake,
  type NoiseHash,
  RECORD_HEADER_BYTES,
  sealRecords,
} from '../protocols/noise/index.ts';
import type { TcpConnection } from './connection.ts';
import { type Handshake, handshake, type HandshakeContext } from './handshake.ts';
import type { HandshakeStream } from './handshake-stream.ts';
import { type NoiseBinding, type NoiseIdentity, signedIdentity } from './noise-identity.ts';
import { NoiseTransform } from './noise-transform.ts';
import type { HandshakeResult } from './transform.ts';

/** Options of Noise. Both sides need the same pattern, hash, prologue and kind of identity. */
export interface NoiseOptions {
  /**
   * `XX`: both sides send their keys. `XXpsk3`: the same, with a pre-shared secret. `IK`: the initiator knows the
   * responder's key.
   */
  readonly pattern: 'XX' | 'XXpsk3' | 'IK';
  /** @default 'BLAKE2s' */
  readonly hash?: NoiseHash | undefined;
  /**
   * This node's own key. Both sides prove theirs by a signature over the static key.
   * @default none: peers are identified by their static keys alone
   */
  readonly privateKey?: PrivateKey | undefined;
  /** Replaces `privateKey`: payloads of another protocol. @default payloads are empty */
  readonly identity?: NoiseIdentity | undefined;
  /**
   * 32 bytes, the private key of this node's static key (X25519). IK needs a permanent one. @default a new one for each
   * connection
   */
  readonly staticSeed?: Uint8Array | undefined;
  /** XXpsk3: the pre-shared 32 bytes. */
  readonly psk?: Uint8Array | undefined;
  /** IK: the static key of the dialled peer, 32 bytes. A side that only listens needs none. */
  readonly remoteStatic?: Uint8Array | ((connection: TcpConnection) => Uint8Array) | undefined;
  /** Data that both sides must have in common. @default empty */
  readonly prologue?: Uint8Array | undefined;
  /** The time limit of the handshake. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /** The source of randomness for keys. @default the system's */
  readonly realm?: Realm | undefined;
}

const SEED_BYTES = 32;

/**
 * A handshake that encrypts and authenticates with Noise (for example `Noise_XX_25519_ChaChaPoly_BLAKE2s`). Nothing
 * from a peer is delivered before its key is proven and the node's `accept` has admitted it. Without `privateKey` and
 * `identity` the key is the static one (algorithm `x25519`). Messages that are sent together share records.
 *
 * @throws {TypeError | RangeError} for invalid options, and when a pattern lacks a required option.
 * @example
 * ```ts
 * const security = noise({ pattern: 'XX', privateKey });
 * const node = createNode({ security, accept: ({ id }) => id === friend });
 * ```
 */
export function noise(options: NoiseOptions): Handshake {
  return handshake(noiseHandshake(options), { timeoutMs: options.timeoutMs });
}

/**
 * The same as a part of a larger handshake that exchanges something else first.
 *
 * @throws {TypeError | RangeError} as {@link noise}.
 * @example
 * ```ts
 * const secure = noiseHandshake({ pattern: 'XX', privateKey });
 * const security = handshake(async (context) => {
 *   await negotiate(context.stream);
 *   return secure(context);
 * });
 * const node = createNode({ security });
 * ```
 */
export function noiseHandshake(options: NoiseOptions): (context: HandshakeContext) => Promise<HandshakeResult> {
  const settings = resolve(options);
  return (context) => new NoiseRun(settings, context).perform();
}

interface Settings extends NoiseOptions {
  readonly hash: NoiseHash;
  readonly realm: Realm;
}

function resolve(options: NoiseOptions): Settings {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { pattern, hash = 'BLAKE2s', privateKey, remoteStatic, prologue, realm = systemRealm } = options;
  if (pattern !== 'XX' && pattern !== 'XXpsk3' && pattern !== 'IK') {
    throw new TypeError(`Cannot take pattern: expected XX, XXpsk3 or IK, got ${describeValue(pattern)}`);
  }
  if (!['SHA256', 'SHA512', 'BLAKE2s', 'BLAKE2b'].includes(hash)) {
    throw new TypeError(`Cannot take hash: expected SHA256, SHA512, BLAKE2s or BLAKE2b, got ${describeValue(hash)}`);
  }
  if (privateKey !== undefined && options.identity !== undefined) {
    throw new TypeError('Cannot take identity: expected privateKey or identity, got both');
  }
  for (const name of ['staticSeed', 'psk'] as const) {
    if (options[name] !== undefined) assertBytes(options[name], name, SEED_BYTES);
  }
  if (typeof remoteStatic !== 'function' && remoteStatic !== undefined) {
    assertBytes(remoteStatic, 'remoteStatic', SEED_BYTES);
  }
  if (prologue !== undefined) assertBytes(prologue, 'prologue');
  if (pattern === 'XXpsk3' && options.psk === undefined) throw new TypeError('Cannot make noise: XXpsk3 needs psk');
  if (pattern === 'IK' && options.staticSeed === undefined) {
    throw new TypeError('Cannot make noise: IK needs staticSeed, a static key that lasts');
  }
  if (privateKey !== undefined) assertPrivateKey(privateKey);
  if (options.identity !== undefined) {
    const { write, read } = Object(options.identity) as Partial<NoiseIdentity>;
    assertFunction(write, 'identity.write');
    assertFunction(read, 'identity.read');
  }
  const identity = privateKey === undefined ? options.identity : signedIdentity(privateKey);
  return { ...options, hash, realm, identity };
}

/** One handshake. */
class NoiseRun {
  readonly #settings: Settings;
  readonly #context: HandshakeContext;
  readonly #stream: HandshakeStream;
  readonly #machine: NoiseHandshake;
  /** Indexes of the last message of each side: their payloads hold the identities. */
  readonly #last: { readonly ours: number; readonly theirs: number };
  readonly #isInitiator: boolean;
  /** Whether the initiator sends the last message, which cannot be replayed from another handshake. */
  readonly #isConfirmed: boolean;
  /** The key that the peer's payload has proven, unless the handshake was replayed. */
  #proven: PublicKey | undefined;
  #publicKey: PublicKey | undefined;

  constructor(settings: Settings, context: HandshakeContext) {
    const { connection, stream } = context;
    const { pattern, hash, realm, staticSeed, psk, remoteStatic, prologue } = settings;
    this.#settings = settings;
    this.#context = context;
    this.#stream = stream;
    const isInitiator = connection.side === 'responder';
    this.#machine = new NoiseHandshake({
      pattern,
      hash,
      role: isInitiator ? 'initiator' : 'responder',
      ephemeralSeed: realm.random(SEED_BYTES),
      staticSeed: staticSeed ?? realm.random(SEED_BYTES),
      remoteStatic:
        isInitiator && typeof remoteStatic === 'function' ? remoteStatic(connection) : bytesOf(remoteStatic),
      psk,
      prologue,
    });
    const end = NOISE_PATTERNS[pattern].messages.length - 1;
    const lastOfInitiator = end % 2 === 0 ? end : end - 1;
    const lastOfResponder = end % 2 === 0 ? end - 1 : end;
    this.#isInitiator = isInitiator;
    this.#isConfirmed = end % 2 === 0;
    this.#last = isInitiator
      ? { ours: lastOfInitiator, theirs: lastOfResponder }
      : { ours: lastOfResponder, theirs: lastOfInitiator };
  }

  async perform(): Promise<HandshakeResult> {
    const machine = this.#machine;
    for (let index = 0; machine.turn !== 'done'; index++) {
      if (machine.turn === 'write') await this.#write(index);
      else await this.#read(index);
    }
    const { send, receive } = machine.finish();
    const rest = this.#isConfirmed ? EMPTY_BYTES : await this.#confirm(send, receive);
    return { transport: new NoiseTransform(send, receive), publicKey: this.#publicKey, rest };
  }

  /**
   * The first message of IK can be replayed. Only the owner of this handshake's keys can seal a record: the initiator
   * sends an empty one at once, and the responder admits no peer before it has received one.
   */
  async #confirm(send: CipherState, receive: CipherState): Promise<Bytes> {
    if (this.#isInitiator) {
      const record = sealRecords(send, EMPTY_BYTES);
      if (typeof record === 'string') throw this.#refusal(`the handshake failed (${record})`);
      await this.#stream.write(record);
      return EMPTY_BYTES;
    }
    const head = await this.#stream.read(RECORD_HEADER_BYTES);
    const record = await this.#stream.read((head[0]! << 8) | head[1]!);
    const opened = receive.peek(EMPTY_BYTES, record);
    if (typeof opened === 'string') throw this.#refusal('its first record is not of this handshake');
    await this.#admit(this.#proven!);
    return concatBytes(head, record); // it may hold messages: it is opened with all other records
  }

  async #write(index: number): Promise<void> {
    const machine = this.#machine;
    const binding: NoiseBinding = { staticKey: machine.localStatic!, handshakeHash: machine.hash };
    const payload = index === this.#last.ours ? this.#settings.identity?.write(binding) : undefined;
    const written = machine.write(payload ?? EMPTY_BYTES);
    if (!written.ok) throw this.#refusal(`the handshake failed (${written.fault})`);
    await this.#stream.write(frameNoiseMessage(written.bytes));
  }

  async #read(index: number): Promise<void> {
    const machine = this.#machine;
    const head = await this.#stream.read(RECORD_HEADER_BYTES);
    const message = await this.#stream.read((head[0]! << 8) | head[1]!);
    const handshakeHash = machine.hash;
    const read = machine.read(message);
    if (!read.ok) throw this.#refusal(`the handshake failed (${read.fault})`);
    // Checked before the next message is sent: in XX an unaccepted peer then does not learn this node's key.
    if (index === this.#last.theirs) await this.#judge(read.bytes, handshakeHash);
  }

  async #judge(payload: Bytes, handshakeHash: Bytes): Promise<void> {
    const { identity } = this.#settings;
    const staticKey = this.#machine.remoteStatic!;
    const publicKey =
      identity === undefined ? x25519Key(staticKey) : identity.read(payload, { staticKey, handshakeHash });
    if (publicKey === undefined) throw this.#refusal('it has not proven who it is');
    this.#proven = publicKey;
    if (this.#isInitiator || this.#isConfirmed) await this.#admit(publicKey);
  }

  async #admit(publicKey: PublicKey): Promise<void> {
    await this.#context.accept(publicKey);
    this.#publicKey = publicKey;
  }

  #refusal(why: string): P2PError {
    return new P2PError('identity_mismatch', 'remote', `Cannot accept ${this.#context.connection.addr}: ${why}`);
  }
}

function bytesOf(remoteStatic: NoiseOptions['remoteStatic']): Uint8Array | undefined {
  return typeof remoteStatic === 'function' ? undefined : remoteStatic;
}

/** A static key in the format of other keys (RFC 8410). */
function x25519Key(staticKey: Uint8Array): PublicKey {
  return { algorithm: 'x25519', spki: encodeSpki({ algorithm: { oid: OIDS.x25519 }, bits: copyBytes(staticKey) }) };
}
