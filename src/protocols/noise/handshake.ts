/**
 * A Noise handshake of either role, without I/O: it takes and returns messages, and gives two ciphers at the end.
 *
 * It uses no randomness (the ephemeral key is passed in) and never throws for bytes from a peer. After a fault it
 * cannot be used any more. The caller does the framing; `records.ts` has the framing of shoal.
 *
 * Source: the Noise Protocol Framework, revision 34, §5.2, §5.3, §9.
 */

import { x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, copyBytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { assertBytes, assertFunction, describeValue } from '../../base/checks.ts';
import { AEAD_TAG_BYTES, type ImportAeadKey, type X25519PrivateKey } from '../../crypto/suite.ts';
import { CipherState, MAX_NOISE_MESSAGE_BYTES, type NoiseFault } from './cipher-state.ts';
import { initialHash, isNoiseHash, KEY_BYTES, mixHash, mixKey, mixKeyAndHash, split } from './hashing.ts';
import { NOISE_PATTERNS, type NoiseHash, type NoisePattern, noiseProtocolName, type NoiseToken } from './patterns.ts';

/** Options of a handshake. */
export interface NoiseHandshakeOptions {
  readonly pattern: NoisePattern;
  readonly hash: NoiseHash;
  readonly role: 'initiator' | 'responder';
  /** 32 bytes for the ephemeral key, from a cryptographically secure source; never reused. */
  readonly ephemeralSeed: Uint8Array;
  /** 32 bytes: the seed of the static key. Required by every pattern except NN. */
  readonly staticSeed?: Uint8Array | undefined;
  /** 32 bytes: the responder's static public key, required for the initiator of IK. */
  readonly remoteStatic?: Uint8Array | undefined;
  /** 32 pre-shared bytes, for XXpsk3. */
  readonly psk?: Uint8Array | undefined;
  /** Data that both sides have exchanged before the handshake, which fails if they differ. @default empty */
  readonly prologue?: Uint8Array | undefined;
  /** @default the built-in ChaCha20-Poly1305 */
  readonly importAead?: ImportAeadKey | undefined;
}

/** A message, or the payload of one; or the fault. */
export type NoiseResult =
  | { readonly ok: true; readonly bytes: Bytes }
  | { readonly ok: false; readonly fault: NoiseFault };

/** The result of a finished handshake. */
export interface NoiseTransport {
  readonly send: CipherState;
  readonly receive: CipherState;
  /** The handshake hash: the same on both sides, and unique to this handshake (§11.2, channel binding). */
  readonly handshakeHash: Bytes;
  /** The other side's static public key, whose private key it has proven to own. `undefined` with NN. */
  readonly remoteStatic: Bytes | undefined;
}

/** One handshake. */
export class NoiseHandshake {
  readonly #hashName: NoiseHash;
  readonly #initiator: boolean;
  readonly #messages: readonly (readonly NoiseToken[])[];
  readonly #usesPsk: boolean;
  readonly #psk: Bytes | undefined;
  readonly #static: X25519PrivateKey | undefined;
  readonly #ephemeral: X25519PrivateKey;
  readonly #importAead: ImportAeadKey | undefined;
  #remoteStatic: Bytes | undefined;
  #remoteEphemeral: Bytes | undefined;
  #h: Bytes;
  #chainingKey: Bytes;
  #cipher: CipherState | undefined;
  /** Index of the next message. */
  #at = 0;
  #isFinished = false;
  #fault: NoiseFault | undefined;

  /** @throws {TypeError | RangeError} when a value required by the pattern is missing or has the wrong length. */
  constructor(options: NoiseHandshakeOptions) {
    const { pattern, hash, role, prologue = EMPTY_BYTES } = options;
    if (!Object.hasOwn(NOISE_PATTERNS, pattern)) {
      const known = Object.keys(NOISE_PATTERNS).join(', ');
      throw new TypeError(`Cannot take pattern: expected one of ${known}, got ${describeValue(pattern)}`);
    }
    if (!isNoiseHash(hash)) {
      throw new TypeError(`Cannot take hash: expected SHA256, SHA512, BLAKE2s or BLAKE2b, got ${describeValue(hash)}`);
    }
    if (role !== 'initiator' && role !== 'responder') {
      throw new TypeError(`Cannot take role: expected initiator or responder, got ${describeValue(role)}`);
    }
    if (options.importAead !== undefined) assertFunction(options.importAead, 'importAead');
    const steps = NOISE_PATTERNS[pattern];
    assertBytes(prologue, 'prologue');
    this.#hashName = hash;
    this.#initiator = role === 'initiator';
    this.#messages = steps.messages;
    const tokens = steps.messages.flat();
    this.#usesPsk = tokens.includes('psk');
    this.#psk = this.#usesPsk ? key32(options.psk, 'psk', pattern) : undefined;
    this.#ephemeral = x25519PrivateKey(key32(options.ephemeralSeed, 'ephemeralSeed', pattern));
    if (tokens.includes('s')) this.#static = x25519PrivateKey(key32(options.staticSeed, 'staticSeed', pattern));
    this.#importAead = options.importAead;
    this.#chainingKey = initialHash(hash, noiseProtocolName(pattern, hash));
    this.#h = mixHash(hash, this.#chainingKey, prologue);
    if (!steps.knowsResponder) return;
    if (this.#initiator) this.#remoteStatic = key32(options.remoteStatic, 'remoteStatic', pattern);
    this.#mixHash(this.#initiator ? this.#remoteStatic! : this.#static!.publicKey);
  }

  /** The next action: `write` or `read`, or the state: `done`, `failed`, or `finished`. */
  get turn(): 'write' | 'read' | 'done' | 'failed' | 'finished' {
    if (this.#isFinished) return 'finished';
    if (this.#fault !== undefined) return 'failed';
    if (this.#at === this.#messages.length) return 'done';
    return (this.#at % 2 === 0) === this.#initiator ? 'write' : 'read';
  }

  /** The handshake hash so far: of the prologue and all messages. */
  get hash(): Bytes {
    return copyBytes(this.#h);
  }

  /** A copy of this side's static public key. */
  get localStatic(): Bytes | undefined {
    return this.#static && copyBytes(this.#static.publicKey);
  }

  /** The other side's key, if known; proven only after the message with `se` or `es` has been read. */
  get remoteStatic(): Bytes | undefined {
    return this.#remoteStatic && copyBytes(this.#remoteStatic);
  }

  /**
   * Writes the next message, which contains `payload`: unencrypted as long as no key is agreed on.
   *
   * @throws {TypeError} when it is not this side's turn.
   * @throws {RangeError} for a payload of more than 65 535 bytes.
   */
  write(payload: Uint8Array = EMPTY_BYTES): NoiseResult {
    assertBytes(payload, 'payload');
    this.#expect('write');
    if (payload.length > MAX_NOISE_MESSAGE_BYTES) {
      throw new RangeError(
        `Cannot write: expected a payload of at most ${MAX_NOISE_MESSAGE_BYTES} bytes, got ${payload.length}`,
      );
    }
    const parts: Uint8Array[] = [];
    for (const token of this.#messages[this.#at]!) {
      if (token === 'e') {
        parts.push(this.#ephemeral.publicKey);
        this.#mixEphemeral(this.#ephemeral.publicKey);
      } else if (token === 's') {
        const sealed = this.#seal(this.#static!.publicKey);
        if (typeof sealed === 'string') return this.#fail(sealed);
        parts.push(sealed);
      } else {
        const fault = this.#mixSecret(token);
        if (fault !== undefined) return this.#fail(fault);
      }
    }
    let length = payload.length + (this.#cipher === undefined ? 0 : AEAD_TAG_BYTES);
    for (const part of parts) length += part.length;
    if (length > MAX_NOISE_MESSAGE_BYTES) return this.#fail('too_long');
    const sealed = this.#seal(payload);
    if (typeof sealed === 'string') return this.#fail(sealed);
    const bytes = concatBytes(...parts, sealed);
    this.#at++;
    return { ok: true, bytes };
  }

  /**
   * Reads the next message, and returns its payload.
   *
   * @throws {TypeError} when it is not the other side's turn.
   */
  read(message: Uint8Array): NoiseResult {
    assertBytes(message, 'message');
    this.#expect('read');
    if (message.length > MAX_NOISE_MESSAGE_BYTES) return this.#fail('too_long');
    let rest = message;
    for (const token of this.#messages[this.#at]!) {
      if (token === 'e' || token === 's') {
        const length = KEY_BYTES + (token === 's' && this.#cipher !== undefined ? AEAD_TAG_BYTES : 0);
        if (rest.length < length) return this.#fail('too_short');
        const taken = rest.subarray(0, length);
        rest = rest.subarray(length);
        if (token === 'e') {
          this.#remoteEphemeral = copyBytes(taken);
          this.#mixEphemeral(this.#remoteEphemeral);
        } else {
          const key = this.#open(taken);
          if (typeof key === 'string') return this.#fail(key);
          this.#remoteStatic = key;
        }
      } else {
        const fault = this.#mixSecret(token);
        if (fault !== undefined) return this.#fail(fault);
      }
    }
    const payload = this.#open(rest);
    if (typeof payload === 'string') return this.#fail(payload);
    this.#at++;
    return { ok: true, bytes: payload };
  }

  /**
   * Returns the result, once only: a second pair of ciphers would reuse nonces. After IK the responder knows the
   * initiator's identity, but a replayed first message gives the same one: it must not announce the peer before a first
   * record opens.
   *
   * @throws {TypeError} when the handshake is not `done`, also on a second call.
   */
  finish(): NoiseTransport {
    this.#expect('done');
    this.#isFinished = true;
    const keys = split(this.#hashName, this.#chainingKey);
    const forward = new CipherState(keys.initiatorToResponder, this.#importAead);
    const backward = new CipherState(keys.responderToInitiator, this.#importAead);
    return {
      send: this.#initiator ? forward : backward,
      receive: this.#initiator ? backward : forward,
      handshakeHash: this.hash,
      remoteStatic: this.remoteStatic,
    };
  }

  #expect(turn: 'write' | 'read' | 'done'): void {
    if (this.turn === turn) return;
    throw new TypeError(`Cannot ${turn === 'done' ? 'finish' : turn}: expected turn ${turn}, got ${this.turn}`);
  }

  #fail(fault: NoiseFault): NoiseResult {
    this.#fault = fault;
    return { ok: false, fault };
  }

  #mixHash(data: Uint8Array): void {
    this.#h = mixHash(this.#hashName, this.#h, data);
  }

  #mixKey(material: Uint8Array): void {
    const { chainingKey, key } = mixKey(this.#hashName, this.#chainingKey, material);
    this.#chainingKey = chainingKey;
    this.#cipher = new CipherState(key, this.#importAead);
  }

  /**
   * §9.2: with a pre-shared key, ephemeral keys are mixed into the cipher key too, so that no two handshakes share one.
   */
  #mixEphemeral(publicKey: Uint8Array): void {
    this.#mixHash(publicKey);
    if (this.#usesPsk) this.#mixKey(publicKey);
  }

  #mixSecret(token: Exclude<NoiseToken, 'e' | 's'>): NoiseFault | undefined {
    if (token === 'psk') {
      const { chainingKey, toHash, key } = mixKeyAndHash(this.#hashName, this.#chainingKey, this.#psk!);
      this.#chainingKey = chainingKey;
      this.#mixHash(toHash);
      this.#cipher = new CipherState(key, this.#importAead);
      return undefined;
    }
    // The first letter is the initiator's key, the second the responder's.
    const ours = token[this.#initiator ? 0 : 1] === 'e' ? this.#ephemeral : this.#static!;
    const theirs = token[this.#initiator ? 1 : 0] === 'e' ? this.#remoteEphemeral! : this.#remoteStatic!;
    const secret = ours.sharedSecret(theirs);
    if (secret === undefined) return 'low_order';
    this.#mixKey(secret);
    return undefined;
  }

  /** §5.2 EncryptAndHash. */
  #seal(plaintext: Uint8Array): Uint8Array | NoiseFault {
    const sealed = this.#cipher === undefined ? plaintext : this.#cipher.seal(this.#h, plaintext);
    if (typeof sealed !== 'string') this.#mixHash(sealed);
    return sealed;
  }

  /** §5.2 DecryptAndHash. */
  #open(sealed: Uint8Array): Bytes | NoiseFault {
    const plaintext = this.#cipher === undefined ? copyBytes(sealed) : this.#cipher.open(this.#h, sealed);
    if (typeof plaintext !== 'string') this.#mixHash(sealed);
    return plaintext;
  }
}

function key32(value: Uint8Array | undefined, label: string, pattern: NoisePattern): Bytes {
  if (value === undefined) throw new TypeError(`Cannot make handshake: ${pattern} needs ${label}, 32 bytes`);
  assertBytes(value, label, KEY_BYTES);
  return copyBytes(value);
}
