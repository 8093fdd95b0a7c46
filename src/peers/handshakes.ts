/** Hellos: how paths begin. Own attempts, and those of peers. Source: docs/wire/peers.md §2. */

import type { Addr } from '../core/addr.ts';
import { type Bytes, toHex } from '../base/bytes.ts';
import { P2PError, type P2PErrorCode } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm, Timer } from '../core/realm.ts';
import type { AttemptResult, FailureReason } from '../protocols/peers/reach/types.ts';
import { DENIED, ID_BYTES, PACKET } from '../protocols/peers/constants.ts';
import { decodeDenied, decodeHello, encodeHello, type Hello } from '../protocols/peers/hello.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { Transport } from './transport.ts';

/** The first repetition of a hello; each further one comes after twice the time. */
const FIRST_REPEAT_MS = 500;
/** Packets of the peer that overtook its welcome. */
const MAX_EARLY = 64;
const MAX_EARLY_BYTES = 262_144;
/** Attempts that were given up and whose welcome may still come, of which the oldest is forgotten; each for so long. */
const MAX_GIVEN_UP = 64;
const GIVEN_UP_MS = 10_000;

/** An own attempt to open a path. */
export interface PathAttempt {
  /** Negative: it moves a session to another transport, and the reach machine does not know it. */
  readonly number: number;
  readonly peer: PeerId;
  readonly transport: Transport;
  readonly addr: Addr;
  /** Before everything for one that was given up: a path that is there already stays. */
  beganMs: number;
  /** How often a hello was said with another session. */
  rounds: number;
}

interface Running extends PathAttempt {
  token: Bytes;
  readonly abort: AbortController;
  timer: Timer | undefined;
  repeatMs: number;
  /** Bounded by MAX_EARLY. */
  readonly early: { readonly src: Addr; readonly packet: Bytes }[];
  earlyBytes: number;
  /** Whether its welcome is being looked at: its outcome comes from there. */
  isWelcomed: boolean;
  /** Its outcome is told; its timer forgets it. */
  isGivenUp: boolean;
}

/** What handshakes need from the connection manager. */
export interface HandshakeHooks {
  readonly realm: Realm;
  /** The own hello to a peer. */
  hello(peer: PeerId, transport: Transport, addr: Addr, token: Bytes): Hello;
  /**
   * A welcome has come: the attempt has a path. `again`: the session has begun anew, so hello is said again. Otherwise why not.
   */
  welcomed(attempt: PathAttempt, src: Addr, welcome: Hello): 'open' | 'again' | FailureReason;
  /** A hello has come. */
  greeted(transport: Transport, src: Addr, hello: Hello): void;
  outcome(attempt: number, result: AttemptResult): void;
  /** A packet that overtook its welcome. */
  replay(transport: Transport, src: Addr, packet: Bytes): void;
  malformed(transport: Transport, src: Addr): void;
  /** A peer says that another process uses this node's key. */
  keyElsewhere(peer: PeerId): void;
}

export class Handshakes {
  readonly #hooks: HandshakeHooks;
  readonly #attempts = new Map<number, Running>(); // Bounded by the reach machine, and by the paths at a move.
  /** By the token of the hello. Bounded as the attempts. */
  readonly #tokens = new Map<string, Running>();
  /** By their tokens, the oldest first. The peer may have opened a path already. Bounded by MAX_GIVEN_UP. */
  readonly #givenUp = new Map<string, Running>();

  constructor(hooks: HandshakeHooks) {
    this.#hooks = hooks;
  }

  get size(): number {
    return this.#attempts.size;
  }

  dial(number: number, peer: PeerId, transport: Transport, addr: Addr): void {
    const attempt: Running = {
      number,
      peer,
      transport,
      addr,
      beganMs: this.#hooks.realm.nowMs(),
      rounds: 0,
      token: this.#hooks.realm.random(ID_BYTES),
      abort: new AbortController(),
      timer: undefined,
      repeatMs: FIRST_REPEAT_MS,
      early: [],
      earlyBytes: 0,
      isWelcomed: false,
      isGivenUp: false,
    };
    this.#attempts.set(number, attempt);
    this.#tokens.set(toHex(attempt.token), attempt);
    this.#say(attempt);
  }

  /** Gives up an attempt. Its hello may have arrived: the path opens when the welcome comes, so that both sides have it or neither. */
  abandon(number: number): void {
    const attempt = this.#attempts.get(number);
    if (attempt?.isWelcomed !== false) return;
    this.#fail(attempt, 'abandoned');
    const { realm } = this.#hooks;
    attempt.isGivenUp = true;
    attempt.beganMs = -Infinity;
    attempt.rounds = Infinity; // A welcome of another session does not say hello again.
    attempt.timer = clockOf(realm).setTimer(realm.nowMs() + GIVEN_UP_MS, () => this.#forget(attempt), {
      background: true,
    });
    this.#givenUp.set(toHex(attempt.token), attempt);
    if (this.#givenUp.size > MAX_GIVEN_UP) this.#forget(this.#givenUp.values().next().value!);
  }

  /** The session with a peer has ended: attempts to move it are over, since their hellos would begin another one that nobody wants. */
  endMoves(peer: PeerId): void {
    for (const attempt of this.#attempts.values()) if (attempt.number < 0 && attempt.peer === peer) this.#end(attempt);
  }

  /** A packet that begins with 0, 1 or 2. */
  received(transport: Transport, src: Addr, packet: Bytes): void {
    if (packet[0] === PACKET.DENIED) {
      const denied = decodeDenied(packet);
      if (denied === undefined) this.#hooks.malformed(transport, src);
      else {
        const attempt = this.#tokens.get(toHex(denied.token));
        if (attempt?.transport === transport && transport.peerOf(src) === attempt.peer) {
          if (denied.code === DENIED.KEY_IN_USE) this.#hooks.keyElsewhere(attempt.peer);
          this.#fail(attempt, reasonOf(denied.code), denied.reason);
        }
      }
      return;
    }
    const hello = decodeHello(packet);
    if (hello === undefined) this.#hooks.malformed(transport, src);
    else if (packet[0] === PACKET.HELLO) this.#hooks.greeted(transport, src, hello);
    else this.#welcome(transport, src, hello);
  }

  /** Keeps a packet that has overtaken its welcome. @returns whether there is such an attempt */
  hold(transport: Transport, src: Addr, packet: Bytes): boolean {
    const peer = transport.peerOf(src);
    const attempt = attemptAt(this.#attempts, transport, peer) ?? attemptAt(this.#givenUp, transport, peer);
    if (attempt === undefined) return false;
    if (attempt.early.length < MAX_EARLY && attempt.earlyBytes + packet.length <= MAX_EARLY_BYTES) {
      attempt.early.push({ src, packet });
      attempt.earlyBytes += packet.length;
    }
    return true;
  }

  close(): void {
    for (const attempt of this.#attempts.values()) this.#end(attempt);
    for (const attempt of this.#givenUp.values()) this.#forget(attempt);
  }

  #forget(attempt: Running): void {
    attempt.timer?.cancel();
    this.#givenUp.delete(toHex(attempt.token));
  }

  #say(attempt: Running): void {
    const { transport, addr, peer, token, abort } = attempt;
    const packet = encodeHello('hello', this.#hooks.hello(peer, transport, addr, token));
    transport.swarm.tell(addr, packet, { signal: abort.signal, timeoutMs: Infinity }).then(
      () => this.#repeat(attempt),
      (error: unknown) => {
        if (!abort.signal.aborted) this.#fail(attempt, failureOf(error), error instanceof Error ? error.message : '');
      },
    );
  }

  #repeat(attempt: Running): void {
    if (this.#attempts.get(attempt.number) !== attempt || attempt.timer !== undefined) return;
    const { realm } = this.#hooks;
    const again = (): void => {
      attempt.timer = undefined;
      this.#say(attempt);
    };
    attempt.timer = clockOf(realm).setTimer(realm.nowMs() + attempt.repeatMs, again, { background: true });
    attempt.repeatMs *= 2;
  }

  #welcome(transport: Transport, src: Addr, welcome: Hello): void {
    const token = toHex(welcome.token);
    const attempt = this.#tokens.get(token) ?? this.#givenUp.get(token);
    if (attempt?.transport !== transport) return;
    if (attempt.isGivenUp) {
      this.#welcomeLate(attempt, src, welcome);
      return;
    }
    if (transport.peerOf(src) !== attempt.peer) {
      this.#fail(attempt, 'wrong_key');
      return;
    }
    attempt.isWelcomed = true;
    const result = this.#hooks.welcomed(attempt, src, welcome);
    attempt.isWelcomed = false;
    if (result === 'again') {
      this.#tokens.delete(toHex(attempt.token));
      attempt.token = this.#hooks.realm.random(ID_BYTES);
      this.#tokens.set(toHex(attempt.token), attempt);
      attempt.rounds++;
      attempt.timer?.cancel();
      attempt.timer = undefined;
      attempt.repeatMs = FIRST_REPEAT_MS;
      this.#say(attempt);
    } else if (result !== 'open') this.#fail(attempt, result);
    else {
      this.#end(attempt);
      this.#hooks.outcome(attempt.number, { type: 'open' });
      for (const { src, packet } of attempt.early) this.#hooks.replay(transport, src, packet);
    }
  }

  /** The peer has a path by an attempt that was given up, for example since another path was open first. */
  #welcomeLate(attempt: Running, src: Addr, welcome: Hello): void {
    const { transport, peer, early } = attempt;
    if (transport.peerOf(src) !== peer) return;
    this.#forget(attempt);
    if (this.#hooks.welcomed(attempt, src, welcome) !== 'open') return;
    for (const { src: from, packet } of early) this.#hooks.replay(transport, from, packet);
  }

  #fail(attempt: Running, reason: FailureReason, detail?: string): void {
    this.#end(attempt);
    this.#hooks.outcome(attempt.number, { type: 'failed', reason, detail });
  }

  #end(attempt: Running): void {
    this.#attempts.delete(attempt.number);
    this.#tokens.delete(toHex(attempt.token));
    attempt.timer?.cancel();
    attempt.abort.abort(new P2PError('closed', 'local', 'The attempt was given up', { sent: 'maybe' }));
  }
}

function attemptAt(
  attempts: ReadonlyMap<unknown, Running>,
  transport: Transport,
  peer: PeerId | undefined,
): Running | undefined {
  for (const attempt of attempts.values()) if (attempt.transport === transport && attempt.peer === peer) return attempt;
  return undefined;
}

function reasonOf(code: number): FailureReason {
  if (code === DENIED.WRONG_NETWORK) return 'wrong_network';
  if (code === DENIED.VERSION) return 'version';
  if (code === DENIED.SELF) return 'self';
  return code === DENIED.CLOSING ? 'closed' : 'denied';
}

const CODE_REASONS: Readonly<Partial<Record<P2PErrorCode, FailureReason>>> = {
  identity_mismatch: 'wrong_key',
  timeout: 'silent',
  disconnected: 'closed',
  closed: 'closed',
  unsupported: 'version',
};

const SYSTEM_REASONS: Readonly<Record<string, FailureReason>> = {
  ECONNREFUSED: 'refused',
  EACCES: 'filtered',
  EPERM: 'filtered',
  ETIMEDOUT: 'silent',
};

/** Why a transport could not send the hello. */
function failureOf(error: unknown): FailureReason {
  if (!P2PError.is(error)) return 'unreachable';
  if (error.code === 'refused') return error.side === 'local' ? 'not_allowed' : 'denied';
  if (error.code === 'unreachable' && error.side === 'remote') return 'refused';
  const known = CODE_REASONS[error.code];
  if (known !== undefined) return known;
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const reason = 'code' in cause && typeof cause.code === 'string' ? SYSTEM_REASONS[cause.code] : undefined;
    if (reason !== undefined) return reason;
  }
  return 'unreachable';
}
