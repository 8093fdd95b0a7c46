/**
 * One connection of SSH-2, without I/O: version exchange, keys, authentication, and payloads of the layer above. Source:
 * docs/wire/ssh.md.
 *
 * Its driver passes in received bytes, calls {@link SshTransport.next} until nothing is left, and takes what is to be sent.
 */

import { type Bytes, EMPTY_BYTES, encodeText, equalBytes } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import type { PublicKey } from '../../core/secure.ts';
import { SIGNATURES, type SshEnd } from './algorithms.ts';
import { type AuthStep, ClientAuthentication, ServerAuthentication } from './authentication.ts';
import {
  DISCONNECT,
  FRAMES_EXTENSION,
  FRAMES_VERSION,
  GUARANTEED_PACKET_BYTES,
  MSG,
  PEER_REKEYS_AT_ONCE,
  PEER_REKEYS_PER_SECOND,
  REKEY_TIMEOUT_MS,
} from './constants.ts';
import type { SshClosed, SshFault } from './faults.ts';
import { type Exchanged, KeyExchange } from './key-exchange.ts';
import { type PacketKey, PacketReader, writePacket } from './packets.ts';
import {
  maxPayloadBytes,
  resolveSshLimits,
  type SshTransportEvent,
  type SshTransportOptions,
} from './transport-options.ts';
import { OWN_VERSION, OWN_VERSION_LINE, VersionReader } from './version.ts';
import { byte, SshReader, string, uint32 } from './wire.ts';

const MAX_REASON_CHARACTERS = 256;
const MAX_EXTENSIONS = 32;
const TIMERS = ['rekey', 'rekeying'] as const;

/** The machine of one connection. */
export class SshTransport implements Machine<readonly Bytes[], SshTransportEvent> {
  /** The largest payload that is sent and taken. */
  readonly maxPayloadBytes: number;
  /** Whether the owner does not read for the time being. */
  isPaused = false;
  readonly #options: SshTransportOptions;
  readonly #maxPacketBytes: number;
  readonly #rekeyBytes: number;
  readonly #rekeyAfterMs: number;
  readonly #outbox = new Outbox<readonly Bytes[], SshTransportEvent, (typeof TIMERS)[number]>();
  readonly #versionReader: VersionReader;
  readonly #reader: PacketReader;
  readonly #peerRekeys: TokenBucket;
  #versions: Readonly<Record<SshEnd, Bytes>> | undefined;
  #state: 'version' | 'keys' | 'authentication' | 'open' | 'closed' = 'version';
  #sendKey: PacketKey | undefined;
  #receiveKey: PacketKey | undefined;
  #exchange: KeyExchange | undefined;
  /** Of the exchange under way: what is sent, and what has come. */
  #hasSentInit = false;
  #hasReceivedInit = false;
  #hasSentNewKeys = false;
  #exchanged: Exchanged | undefined;
  #sessionId: Bytes | undefined;
  #isStrict = false;
  #takesExtInfo = false;
  #hostKey: PublicKey | undefined;
  #authentication: ServerAuthentication | ClientAuthentication | undefined;
  #verdict: 'none' | 'pending' | 'given' = 'none';
  #publicKey: PublicKey | undefined;
  #hasFrames = false;
  #received = 0;
  /** Packets that are to be sent. Bounded by the owner, which looks at `unsentBytes` before it reads or sends more. */
  #out: Bytes[] = [];
  #outBytes = 0;
  /** Bytes since the keys are used, and when they have become too many. */
  #keyBytes = 0;
  #rekeyDueMs: Millis | undefined;

  /** @throws {TypeError | RangeError} for invalid options. */
  constructor(options: SshTransportOptions, now: Millis) {
    const { maxPacketBytes, rekeyBytes, rekeyAfterMs } = resolveSshLimits(options);
    this.#options = options;
    this.maxPayloadBytes = maxPayloadBytes(maxPacketBytes);
    this.#rekeyBytes = rekeyBytes;
    this.#rekeyAfterMs = rekeyAfterMs;
    this.#versionReader = new VersionReader(options.end === 'client');
    // Nobody needs more before it is authenticated.
    this.#reader = new PacketReader(GUARANTEED_PACKET_BYTES);
    this.#maxPacketBytes = maxPacketBytes;
    this.#peerRekeys = new TokenBucket(PEER_REKEYS_PER_SECOND, PEER_REKEYS_AT_ONCE, now);
    this.#write(OWN_VERSION_LINE);
  }

  /** Whether payloads of the layer above may be sent now: not before the peer is authenticated, nor while keys are exchanged. */
  get canSend(): boolean {
    return this.#state === 'open' && !this.#hasSentInit;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The key that the peer has proven. */
  get publicKey(): PublicKey | undefined {
    return this.#publicKey;
  }

  /** Whether the peer has frames too. */
  get hasFrames(): boolean {
    return this.#hasFrames;
  }

  /** Whether both sides count packets strictly, so that none can be cut out of the first exchange. */
  get isStrict(): boolean {
    return this.#isStrict;
  }

  /** Bytes that {@link SshTransport.poll} has not given out. */
  get unsentBytes(): number {
    return this.#outBytes;
  }

  /** Received bytes that are not part of a whole packet. */
  get pendingBytes(): number {
    return this.#reader.pending;
  }

  /** How many bytes the next step needs, so that no more has to be read. */
  get missing(): number {
    return this.#state === 'version' ? 1 : this.#reader.missing;
  }

  /** Adds received bytes, which then belong to the machine. */
  push(chunk: Bytes, now: Millis): void {
    if (this.#state === 'closed') return;
    if (this.#state !== 'version') {
      this.#reader.push(chunk);
      return;
    }
    const read = this.#versionReader.push(chunk);
    if (read === undefined) return;
    if (typeof read === 'string') this.#fail(read);
    else {
      const own = encodeText(OWN_VERSION);
      this.#versions =
        this.#options.end === 'client' ? { client: own, server: read.version } : { client: read.version, server: own };
      this.#state = 'keys';
      this.#beginExchange(now);
      this.#reader.push(read.rest);
    }
  }

  /**
   * Handles one received packet. @returns a payload of the layer above, `'handled'`, or `undefined` when a packet is not complete, or a
   * verdict is awaited.
   */
  next(now: Millis): Bytes | 'handled' | undefined {
    if (this.#state === 'version' || this.#state === 'closed' || this.#verdict === 'pending') return undefined;
    const payload = this.#reader.next();
    if (payload === undefined) return undefined;
    if (typeof payload === 'string') {
      this.#fail(payload);
      return 'handled';
    }
    this.#received = (this.#received + 1) >>> 0;
    this.#countBytes(payload.length, now);
    return this.#handle(payload, now);
  }

  /** The peer with the proven key is admitted. */
  admit(now: Millis): void {
    if (this.#verdict !== 'pending') return;
    this.#verdict = 'given';
    if (this.#options.end === 'client') this.#useKeys(now);
    else {
      this.#sendPacket([byte(MSG.USERAUTH_SUCCESS)]);
      this.#open(now);
    }
  }

  /** Sends a payload of the layer above; only while {@link SshTransport.canSend}. Keeps none of the pieces. @returns the bytes of its packet */
  send(payload: readonly Uint8Array[], now: Millis): number {
    const bytes = this.#sendPacket(payload);
    this.#countBytes(bytes, now);
    return bytes;
  }

  /** The answer to the last message, when this side does not know it (RFC 4253 §11.4). */
  unimplemented(): readonly Bytes[] {
    return [byte(MSG.UNIMPLEMENTED), uint32((this.#received - 1) >>> 0)];
  }

  /** Exchanges keys again, also to find out whether the peer lives. */
  rekey(now: Millis): void {
    if (this.#state === 'open' && this.#exchange === undefined) this.#beginExchange(now);
  }

  /** Ends the connection, and says why. */
  disconnect(code: number, reason: string): void {
    this.#close({ by: 'local', code, reason }, true);
  }

  /** Ends the connection because of a message that the layer above cannot take. */
  fail(fault: SshFault): void {
    this.#fail(fault);
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'rekey') this.rekey(now);
      // While this side does not read, silence is not the peer's fault.
      else if (this.isPaused) this.#outbox.arm('rekeying', now + REKEY_TIMEOUT_MS);
      else {
        this.#close({ by: 'timeout', code: DISCONNECT.KEY_EXCHANGE_FAILED, reason: 'no answer to new keys' }, true);
      }
    }
  }

  poll(): Output<readonly Bytes[], SshTransportEvent> {
    if (this.#rekeyDueMs !== undefined) this.rekey(this.#rekeyDueMs);
    if (this.#out.length > 0) {
      const transmit = this.#out;
      this.#out = [];
      this.#outBytes = 0;
      return { type: 'transmit', transmit };
    }
    return this.#outbox.poll();
  }

  #handle(payload: Bytes, now: Millis): Bytes | 'handled' {
    const type = payload[0]!;
    if (type === MSG.DISCONNECT) this.#handleDisconnect(payload);
    else if (type === MSG.KEXINIT) this.#handleKexInit(payload, now);
    else if (this.#state === 'keys') this.#handleExchange(payload, now);
    else if (type === MSG.IGNORE || type === MSG.DEBUG || type === MSG.UNIMPLEMENTED) return 'handled';
    else if (this.#hasReceivedInit) this.#handleExchange(payload, now);
    else if (type === MSG.EXT_INFO) this.#handleExtInfo(payload);
    else if (this.#state === 'authentication') this.#step(this.#authentication!.handle(payload), now);
    else if (type >= MSG.GLOBAL_REQUEST) return payload;
    // What a client asked before it was authenticated is ignored afterwards (RFC 4252 §5.1).
    else if (type !== MSG.USERAUTH_REQUEST || this.#options.end === 'client') this.#fail('unexpected');
    return 'handled';
  }

  #handleDisconnect(payload: Bytes): void {
    const reader = new SshReader(payload, 1);
    const [code, reason] = [reader.uint32(), reader.text()];
    this.#close({ by: 'peer', code, reason: reason.slice(0, MAX_REASON_CHARACTERS) }, false);
  }

  #handleKexInit(payload: Bytes, now: Millis): void {
    if (this.#hasReceivedInit) {
      this.#fail('unexpected');
      return;
    }
    if (this.#exchange === undefined) {
      if (this.#state !== 'open' && this.#state !== 'authentication') this.#fail('unexpected');
      else if (this.#peerRekeys.take(now)) this.#beginExchange(now);
      else this.#fail('rekey_flood');
    }
    if (this.#exchange === undefined) return;
    this.#hasReceivedInit = true;
    const answer = this.#exchange.handleInit(payload);
    if (typeof answer === 'string') {
      this.#fail(answer);
      return;
    }
    const agreement = this.#exchange.agreement!;
    if (this.#sessionId === undefined) {
      this.#isStrict = agreement.isStrict;
      this.#takesExtInfo = agreement.takesExtInfo;
    }
    if (answer !== undefined) this.#sendPacket([answer]);
  }

  /**
   * In the first exchange nothing else is allowed: a message that somebody put in between would count, and could take the place of one
   * that is cut out later (CVE-2023-48795).
   */
  #handleExchange(payload: Bytes, now: Millis): void {
    if (payload[0] === MSG.NEWKEYS) {
      this.#handleNewKeys(now);
      return;
    }
    if (this.#exchanged !== undefined || this.#exchange === undefined) {
      this.#fail('unexpected');
      return;
    }
    const done = this.#exchange.handle(payload);
    if (done === 'skipped') return;
    if (typeof done === 'string') {
      this.#fail(done);
      return;
    }
    this.#exchanged = done;
    const isFirst = this.#sessionId === undefined;
    this.#sessionId = done.sessionId;
    if (done.reply !== undefined) this.#sendPacket([done.reply]);
    if (done.hostKey === undefined) this.#useKeys(now);
    else if (isFirst) this.#prove(done.hostKey);
    else if (equalBytes(done.hostKey.spki, this.#hostKey!.spki)) this.#useKeys(now);
    else this.#fail('bad_signature');
  }

  #prove(publicKey: PublicKey): void {
    this.#hostKey = this.#publicKey = publicKey;
    this.#verdict = 'pending';
    this.#outbox.event({ type: 'proven', publicKey });
  }

  /** Sends NEWKEYS; from now on this side seals with the new key. */
  #useKeys(now: Millis): void {
    const { toServer, toClient } = this.#exchanged!;
    const isClient = this.#options.end === 'client';
    this.#sendPacket([byte(MSG.NEWKEYS)]);
    this.#hasSentNewKeys = true;
    this.#sendKey = isClient ? toServer : toClient;
    this.#receiveKey = isClient ? toClient : toServer;
    this.#hasSentInit = false;
    if (this.#state === 'keys' && this.#takesExtInfo) this.#sendExtInfo();
    this.#keyBytes = 0;
    this.#rekeyDueMs = undefined;
    this.#outbox.arm('rekey', this.#state === 'open' ? now + this.#rekeyAfterMs : Infinity);
  }

  #handleNewKeys(now: Millis): void {
    if (!this.#hasSentNewKeys) {
      this.#fail('unexpected');
      return;
    }
    this.#reader.setKey(this.#receiveKey!);
    if (this.#isStrict) this.#received = 0;
    const wasFirst = this.#state === 'keys';
    this.#exchange = this.#exchanged = undefined;
    this.#hasReceivedInit = this.#hasSentNewKeys = false;
    this.#outbox.disarm('rekeying');
    if (!wasFirst) return;
    this.#state = 'authentication';
    const { end, signer, user = '' } = this.#options;
    if (end === 'server') {
      this.#verdict = 'none';
      this.#authentication = new ServerAuthentication(this.#sessionId!);
      return;
    }
    const authentication = new ClientAuthentication(this.#sessionId!, signer, user);
    this.#authentication = authentication;
    this.#sendPacket([authentication.begin()]);
    this.#outbox.arm('rekey', now + this.#rekeyAfterMs);
  }

  #step(step: AuthStep, now: Millis): void {
    switch (step?.type) {
      case undefined:
        return;
      case 'send':
        this.#sendPacket([step.payload]);
        return;
      case 'proven':
        this.#prove(step.publicKey);
        return;
      case 'success':
        this.#open(now);
        return;
      case 'refused':
        this.#close({ by: 'peer', code: DISCONNECT.NO_MORE_AUTH_METHODS, reason: 'it does not accept this key' }, true);
        return;
      case 'fault':
        this.#fail(step.fault);
        return;
    }
  }

  #open(now: Millis): void {
    this.#state = 'open';
    this.#reader.maxBytes = this.#maxPacketBytes;
    this.#authentication = undefined;
    this.#outbox.arm('rekey', now + this.#rekeyAfterMs);
    this.#outbox.event({ type: 'open' });
  }

  #sendExtInfo(): void {
    const { end, frames = true } = this.#options;
    const extensions: (readonly [string, string])[] = [];
    if (end === 'server') extensions.push(['server-sig-algs', SIGNATURES.join(',')]);
    if (frames) extensions.push([FRAMES_EXTENSION, FRAMES_VERSION]);
    const fields = extensions.flatMap(([name, value]) => [string(name), string(value)]);
    this.#sendPacket([byte(MSG.EXT_INFO), uint32(extensions.length), ...fields]);
  }

  #handleExtInfo(payload: Bytes): void {
    const reader = new SshReader(payload, 1);
    const count = reader.uint32();
    if (count > MAX_EXTENSIONS) {
      this.#fail('malformed');
      return;
    }
    for (let i = 0; i < count && !reader.failed; i++) {
      const [name, value] = [reader.text(), reader.string()];
      if (name !== FRAMES_EXTENSION || this.#state !== 'authentication' || this.#options.frames === false) continue;
      this.#hasFrames = equalBytes(value, encodeText(FRAMES_VERSION));
    }
    if (!reader.isComplete) this.#fail('malformed');
  }

  #beginExchange(now: Millis): void {
    const { end, signer, random } = this.#options;
    const [versions, sessionId] = [this.#versions!, this.#sessionId];
    const [cookie, seed] = [random(16), random(32)];
    this.#rekeyDueMs = undefined;
    this.#exchange = new KeyExchange({ end, signer, versions, cookie, seed, sessionId });
    this.#hasSentInit = true;
    this.#sendPacket([this.#exchange.init]);
    this.#outbox.disarm('rekey');
    // The first exchange has the deadline of the whole handshake.
    if (sessionId !== undefined) this.#outbox.arm('rekeying', now + REKEY_TIMEOUT_MS);
  }

  #countBytes(bytes: number, now: Millis): void {
    this.#keyBytes += bytes;
    // With the next poll, so that what is sent in one go is not torn apart by it.
    if (this.#keyBytes >= this.#rekeyBytes) this.#rekeyDueMs = now;
  }

  #sendPacket(payload: readonly Uint8Array[]): number {
    const packet = writePacket(payload, this.#sendKey);
    this.#write(packet);
    return packet.length;
  }

  #write(bytes: Bytes): void {
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
  }

  #fail(fault: SshFault): void {
    this.#close({ by: 'fault', code: DISCONNECT.PROTOCOL_ERROR, reason: fault, fault }, this.#state !== 'version');
  }

  #close(closed: SshClosed, says: boolean): void {
    if (this.#state === 'closed') return;
    if (says) {
      this.#sendPacket([byte(MSG.DISCONNECT), uint32(closed.code), string(closed.reason), string(EMPTY_BYTES)]);
    }
    this.#state = 'closed';
    this.#verdict = 'none';
    this.#exchange = this.#exchanged = this.#authentication = undefined;
    for (const timer of TIMERS) this.#outbox.disarm(timer);
    this.#outbox.event({ type: 'closed', closed });
  }
}
