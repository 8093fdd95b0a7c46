/**
 * One session: its handshake in either role, then its data. No timers, no slots: `channel.ts` has those.
 *
 * The handshake is a chain of states that only authentic messages move:
 *
 * | role | state | left by | goes to |
 * | --- | --- | --- | --- |
 * | initiator | `hello_sent` | RespHello | `done_sent` |
 * | initiator | `done_sent` | RespDone or any data | `open` |
 * | responder | `hello_answered` | InitDone | `done_answered` |
 * | responder | `done_answered` | any data | `open` |
 */

import { x25519PrivateKey } from '#crypto';
import { copyBytes, EMPTY_BYTES, equalBytes, type Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { X25519PrivateKey } from '../../crypto/suite.ts';
import type { Verifier } from '../../identity/key-algorithm.ts';
import {
  EXTENSION,
  FIRST_DATA_COUNTER,
  HEADER_BYTES,
  INIT_DONE,
  INIT_HELLO,
  PURPOSE_CHANNEL_BINDING,
  PURPOSE_TIMESTAMP,
  RESP_DONE,
  RESP_HELLO,
  TAG_BYTES,
} from './constants.ts';
import type { P2pkeDrop } from './drop-reason.ts';
import { sessionIdOf, type VerifiedHello } from './hello.ts';
import type { P2pkeIdentity } from './identity.ts';
import {
  decodeInitDone,
  decodeRespHello,
  encodeInitDone,
  encodeInitHello,
  encodeRespHello,
  EPHEMERAL_BYTES,
  withCounter,
} from './messages.ts';
import { hashAfterHello, readReply, writeReply, type Established } from './noise-nn.ts';
import { signatureInput } from './signature-input.ts';
import { Transport } from './transport.ts';

/** Where a session is in its handshake. */
export type SessionState = 'hello_sent' | 'done_sent' | 'hello_answered' | 'done_answered' | 'open';

/**
 * InitHellos of one handshake whose replies are read: that with the newest timestamp and one for each cookie, which are
 * repeated, and older ones whose replies may be under way.
 */
const MAX_HELLOS = 64;

/** Cookies of one handshake. All are sent, because any observer of InitHello can forge one. */
const MAX_COOKIES = 32;

/** A RespHello whose signature is right; nothing of the session has changed yet. */
export interface VerifiedReply {
  readonly publicKey: PublicKey;
  readonly established: Established;
  /** The id of the session: that of the InitHello that it replies to. */
  readonly sessionId: Bytes;
}

/** One InitHello. Those of one handshake have the same ephemeral, and differ in timestamp or cookie. */
interface Hello {
  readonly message: Bytes;
  readonly id: Bytes;
  readonly hash: Bytes;
}

const noKeys = (): never => {
  throw new Error('bug: sealing before there are keys');
};

/** A session of either role. Made by {@link initiateSession} and {@link answerSession}. */
export class Session {
  readonly initiator: boolean;
  readonly createdMs: Millis;
  /** When the other side's key was proven here: the earliest time at which it may count the handshake as complete. */
  provenMs: Millis = Infinity;
  /** The other side has sent something that only this library sends: it keeps a session that is in use. */
  isOurKind = false;
  /** Data came before InitDone and was dropped. */
  missedEarly = false;
  /** The datagram of a message. The caller has checked {@link Session.canSeal}. */
  seal: Transport['seal'] = noKeys;
  #timestamp: Bytes;
  #id: Bytes;
  #state: SessionState;
  /** The handshake message that this side repeats. */
  #message: Bytes;
  #transport: Transport | undefined;
  #publicKey: PublicKey | undefined;
  readonly #identity: P2pkeIdentity;
  /** Initiator until `done_sent`. */
  #ephemeral: X25519PrivateKey | undefined;
  /** Handshake hash: after message 1 for the initiator, after message 2 for the responder. */
  #hash: Bytes;
  /** Responder: checks InitDone. */
  #verifier: Verifier | undefined;
  /** Responder: the InitDone that was taken, to know it again. */
  #initDone: Bytes | undefined;
  /** Responder: the sealed text of the initiator's confirm, to know it again when it is repeated. */
  #theirConfirm: Bytes | undefined;
  /** Initiator: the empty message with counter 16, sent after InitDone and again on RespDone (against fault P1). */
  #confirm: Bytes | undefined;
  /** Initiator until `done_sent`: over the timestamp. */
  #helloSignature: Bytes | undefined;
  /** Initiator until `done_sent`, oldest first. Bounded by MAX_HELLOS. */
  #hellos: Hello[] = [];
  /** Initiator until `done_sent`, oldest first. Bounded by MAX_COOKIES. */
  #cookies: Bytes[] = [];

  /** @internal */
  constructor(
    identity: P2pkeIdentity,
    createdMs: Millis,
    start:
      | { readonly ephemeral: X25519PrivateKey; readonly timestamp: Bytes }
      | {
          readonly hello: VerifiedHello;
          readonly reply: { readonly body: Bytes; readonly established: Established };
        },
  ) {
    this.#identity = identity;
    this.createdMs = createdMs;
    if ('ephemeral' in start) {
      this.initiator = true;
      this.#state = 'hello_sent';
      this.#timestamp = start.timestamp;
      this.#ephemeral = start.ephemeral;
      this.#helloSignature = identity.signer.sign(signatureInput(PURPOSE_TIMESTAMP, start.timestamp));
      const { message, hash, id } = this.#hello(undefined);
      this.#message = message;
      this.#hash = hash;
      this.#id = id;
    } else {
      const { hello, reply } = start;
      this.initiator = false;
      this.#state = 'hello_answered';
      this.#timestamp = hello.timestamp;
      this.#message = withCounter(RESP_HELLO, reply.body);
      this.#hash = reply.established.hash;
      this.#id = hello.sessionId;
      this.#publicKey = hello.publicKey;
      this.#verifier = hello.verifier;
      this.#useTransport(new Transport(reply.established.keys, false, identity.importAead));
    }
  }

  /** BLAKE2b-256 of InitHello; of the initiator's last one until an answer to any of them is taken. */
  get id(): Bytes {
    return this.#id;
  }

  /** The initiator's TAI64N; its last one until an answer is taken. */
  get timestamp(): Bytes {
    return this.#timestamp;
  }

  get state(): SessionState {
    return this.#state;
  }

  /** The other side's key: claimed in state `hello_answered`, proven from then on. */
  get publicKey(): PublicKey | undefined {
    return this.#publicKey;
  }

  /** The handshake message of the current state, to be sent or sent again; the same bytes each time. */
  get message(): Bytes {
    return this.#message;
  }

  /** What is sent when the handshake message has to be repeated: more than one InitHello when there are cookies. */
  get repeats(): readonly Bytes[] {
    if (this.#state !== 'hello_sent') return [this.#message];
    return this.#hellos.slice(-(1 + this.#cookies.length)).map(({ message }) => message);
  }

  /** Initiator: the empty message that moves the responder on. */
  get confirm(): Bytes | undefined {
    return this.#confirm;
  }

  /** Counter of the next data message. */
  get nextCounter(): number {
    return this.#transport?.nextCounter ?? FIRST_DATA_COUNTER;
  }

  /** Whether the handshake has come far enough, on this side, to send data, and counters are left. */
  get canSeal(): boolean {
    return this.#state !== 'hello_sent' && this.#state !== 'hello_answered' && this.#transport?.exhausted === false;
  }

  /** Makes one more InitHello, whose replies are read from now on. */
  #hello(cookie: Uint8Array | undefined): Hello {
    const { publicKey } = this.#ephemeral!;
    const payload = encodeInitHello({
      timestamp: this.#timestamp,
      spki: this.#identity.publicKey.spki,
      signature: this.#helloSignature!,
      cookie,
    });
    const message = withCounter(INIT_HELLO, publicKey, payload);
    const hello = { message, id: sessionIdOf(message), hash: hashAfterHello(publicKey, payload) };
    if (this.#hellos.length >= MAX_HELLOS) this.#hellos.shift();
    this.#hellos.push(hello);
    return hello;
  }

  #useTransport(transport: Transport): void {
    this.#transport = transport;
    this.seal = transport.seal;
  }

  #useHello({ message, id, hash }: Hello): void {
    this.#message = message;
    this.#id = id;
    this.#hash = hash;
  }

  /**
   * Initiator in `hello_sent`: puts a cookie into InitHello, which makes it another message with another id. Replies to
   * earlier ones are still taken.
   *
   * @returns false when this cookie is used already.
   */
  useCookie(cookie: Uint8Array): boolean {
    if (this.#cookies.some((known) => equalBytes(known, cookie))) return false;
    if (this.#cookies.length >= MAX_COOKIES) this.#cookies.shift();
    this.#cookies.push(copyBytes(cookie));
    this.#useHello(this.#hello(cookie));
    return true;
  }

  /** Initiator in `hello_sent`: sends InitHello with a newer timestamp from now on. Replies to earlier ones are still taken. */
  renew(timestamp: Bytes): void {
    this.#timestamp = timestamp;
    this.#helloSignature = this.#identity.signer.sign(signatureInput(PURPOSE_TIMESTAMP, timestamp));
    this.#useHello(this.#hello(undefined));
    for (const cookie of this.#cookies) this.#useHello(this.#hello(cookie));
  }

  /** Initiator in `hello_sent`: whether one of its InitHellos has an id that begins so. */
  isOwnHello(idPrefix: Uint8Array): boolean {
    return this.#hellos.some(({ id }) => equalBytes(id.subarray(0, idPrefix.length), idPrefix));
  }

  /** Initiator in `hello_sent`: reads RespHello. Changes nothing, whatever it is (fault P5). */
  readRespHello(datagram: Uint8Array): VerifiedReply | P2pkeDrop {
    const body = datagram.subarray(HEADER_BYTES);
    if (body.length < EPHEMERAL_BYTES + TAG_BYTES) return 'too_short';
    const { importAead, registry } = this.#identity;
    const sealed = body.subarray(EPHEMERAL_BYTES);
    const hellos = this.#hellos.toReversed(); // the newest is the likeliest
    const hashes = hellos.map(({ hash }) => hash);
    const read = readReply(hashes, this.#ephemeral!, body.subarray(0, EPHEMERAL_BYTES), sealed, importAead);
    if (read === 'low_order') return read;
    if (read === 'undecryptable') return 'unexpected';
    const reply = decodeRespHello(read.payload);
    if (reply === undefined) return 'malformed';
    const verifier = registry.verifier(reply.spki);
    if (verifier === undefined) return 'unknown_key';
    const { hash, id } = hellos[read.index]!;
    if (!verifier.verify(signatureInput(PURPOSE_CHANNEL_BINDING, hash), reply.signature)) return 'bad_signature';
    return { publicKey: verifier.publicKey, established: read.established, sessionId: id };
  }

  /** Initiator: continues with a reply whose key the caller has accepted. From here on data can be sent and received. */
  takeReply(reply: VerifiedReply): void {
    const { hash, keys } = reply.established;
    const transport = new Transport(keys, true, this.#identity.importAead);
    const signature = this.#identity.signer.sign(signatureInput(PURPOSE_CHANNEL_BINDING, hash));
    this.#useTransport(transport);
    this.#publicKey = reply.publicKey;
    this.#id = reply.sessionId;
    this.#hellos = [];
    this.#cookies = [];
    this.#helloSignature = undefined;
    this.#message = transport.sealHandshake(INIT_DONE, encodeInitDone(signature));
    this.#confirm = transport.seal(EMPTY_BYTES);
    this.#ephemeral = undefined;
    this.#state = 'done_sent';
  }

  /** Responder in `hello_answered`: takes InitDone, which proves the initiator's key; `undefined` when it is right. */
  takeInitDone(datagram: Uint8Array): P2pkeDrop | undefined {
    const transport = this.#transport!;
    const payload = transport.openHandshake(INIT_DONE, datagram);
    if (payload === undefined) return 'unexpected';
    const signature = decodeInitDone(payload);
    if (signature === undefined) return 'malformed';
    if (!this.#verifier!.verify(signatureInput(PURPOSE_CHANNEL_BINDING, this.#hash), signature)) return 'bad_signature';
    this.#initDone = copyBytes(datagram);
    this.#message = transport.sealHandshake(RESP_DONE, EMPTY_BYTES);
    this.#verifier = undefined;
    this.#state = 'done_answered';
    return undefined;
  }

  /** Responder: whether this is the InitDone that was taken: the initiator has not seen RespDone. */
  isOwnInitDone(datagram: Uint8Array): boolean {
    return this.#initDone !== undefined && equalBytes(this.#initDone, datagram);
  }

  /** Initiator in `done_sent`: takes RespDone; false when it is forged or of another session. */
  takeRespDone(datagram: Uint8Array): boolean {
    if (this.#transport!.openHandshake(RESP_DONE, datagram)?.length !== 0) return false;
    this.#state = 'open';
    return true;
  }

  /** Tells that this side is of this library, and as a responder that no data came before InitDone; the same bytes each time. */
  acknowledgement(): Bytes {
    return this.#transport!.sealHandshake(EXTENSION, EMPTY_BYTES);
  }

  /** Takes the other side's acknowledgement; false when it is forged or of another session. */
  takeAcknowledgement(datagram: Uint8Array): boolean {
    if (!this.canOpen || this.#transport!.openHandshake(EXTENSION, datagram)?.length !== 0) return false;
    if (this.initiator) this.#state = 'open';
    this.isOurKind = true;
    return true;
  }

  /** A keep-alive, or `undefined` when no counter is left. */
  sealKeepAlive(): Bytes | undefined {
    return this.#transport!.sealKeepAlive();
  }

  /** Whether data can be received: not before the other side's key is proven. */
  get canOpen(): boolean {
    return this.#state !== 'hello_sent' && this.#state !== 'hello_answered';
  }

  /** Whether a counter is neither received nor too old. */
  isFresh(counter: number): boolean {
    return this.#transport!.isFresh(counter);
  }

  /** Opens data with a fresh counter into `out`; false when it is not of this session. Data is proof: see the table. */
  open(counter: number, sealed: Uint8Array, out: Uint8Array): boolean {
    if (!this.#transport!.open(counter, sealed, out)) return false;
    if (counter === FIRST_DATA_COUNTER && !this.initiator && out.length === 0) this.#theirConfirm = copyBytes(sealed);
    this.#state = 'open';
    return true;
  }

  /** Responder: whether this is the initiator's confirm again, which is sent twice in case one is lost. */
  isTheirConfirm(sealed: Uint8Array): boolean {
    return this.#theirConfirm !== undefined && equalBytes(this.#theirConfirm, sealed);
  }
}

/**
 * Begins a session; its {@link Session.message} is InitHello.
 *
 * @param seed - 32 bytes for the ephemeral key, from a source fit for keys; never the same twice.
 * @param timestamp - TAI64N; later than that of any earlier session with the peer.
 */
export function initiateSession(identity: P2pkeIdentity, now: Millis, timestamp: Bytes, seed: Uint8Array): Session {
  return new Session(identity, now, { ephemeral: x25519PrivateKey(seed), timestamp });
}

/**
 * Answers an InitHello; the {@link Session.message} of the session is RespHello.
 *
 * @param seed - as for {@link initiateSession}.
 * @returns `undefined` when the initiator's ephemeral is of low order.
 */
export function answerSession(
  identity: P2pkeIdentity,
  now: Millis,
  hello: VerifiedHello,
  seed: Uint8Array,
): Session | undefined {
  const signature = identity.signer.sign(signatureInput(PURPOSE_CHANNEL_BINDING, hello.hash));
  const payload = encodeRespHello({ spki: identity.publicKey.spki, signature });
  const ephemeral = x25519PrivateKey(seed);
  const reply = writeReply(hello.hash, hello.ephemeral, ephemeral, payload, identity.importAead);
  return reply === undefined ? undefined : new Session(identity, now, { hello, reply });
}
