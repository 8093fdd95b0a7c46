/** What a QUIC endpoint can be told, with defaults and bounds, resolved once and written down for the engine. */

import { concatBytes, encodeText, type Bytes } from '../../base/bytes.ts';
import type { QuicIdentity } from '../../identity/quic-identity.ts';
import { assertBytes, describeValue, wholeNumber } from '../../base/checks.ts';

/** Options of the transport. Sizes are in bytes, durations in milliseconds. */
export interface QuicTransportOptions {
  /** Without anything from the peer for so long, the connection is over; the smaller of both sides' counts; 0 for never. @default 30_000 (RFC 9308 §3.2) */
  readonly idleTimeoutMs?: number | undefined;
  /** After so long without traffic, a PING goes out, so that neither side nor a NAT forgets; 0 for none. @default 0 */
  readonly keepAliveMs?: number | undefined;
  /** Bidirectional streams that the peer may have open. Each costs memory before it is used. @default 100 */
  readonly maxBidiStreams?: number | undefined;
  /** Unidirectional streams that the peer may have open. @default 100 */
  readonly maxUniStreams?: number | undefined;
  /** Bytes that the peer may send on one stream before they are read. @default 1 MiB: 10 MB/s at 100 ms */
  readonly streamWindowBytes?: number | undefined;
  /** Bytes that the peer may send on all streams before they are read: the memory that it can occupy. @default 4 MiB */
  readonly connectionWindowBytes?: number | undefined;
  /** Bytes that we hold because the peer has not acknowledged them. @default 4 MiB */
  readonly sendWindowBytes?: number | undefined;
  /** Bytes of received datagrams that wait to be taken; older ones are dropped; 0 refuses datagrams. @default 256 KiB */
  readonly datagramReceiveBufferBytes?: number | undefined;
  /** Bytes of datagrams that wait to be sent. @default 256 KiB */
  readonly datagramSendBufferBytes?: number | undefined;
  /** UDP payload of the first packets, 1200 to 65527. The path must carry it. @default 1200 (RFC 9000 §14) */
  readonly initialMtuBytes?: number | undefined;
  /** The largest UDP payload that MTU discovery looks for (RFC 8899); what is not above the initial one switches it off. @default 1452 */
  readonly maxMtuBytes?: number | undefined;
  /** The largest UDP payload that we take. @default 65_527 */
  readonly maxReceiveDatagramBytes?: number | undefined;
  /** Bytes of handshake messages that may arrive out of order; bounds the peer's certificates. @default 16 KiB */
  readonly cryptoBufferBytes?: number | undefined;
  /** Round-trip time that is assumed until one is measured. @default 333 (RFC 9002 §6.2.2) */
  readonly initialRttMs?: number | undefined;
  /** As a server, follow clients to new addresses (RFC 9000 §9). @default true */
  readonly migration?: boolean | undefined;
  /** How long a Retry token is good for. @default 15_000 */
  readonly retryTokenLifetimeMs?: number | undefined;
  /** The least time between two stateless resets, so that no sender can provoke many. @default 20 */
  readonly minResetIntervalMs?: number | undefined;
  /** As a server, allow sending before the client has shown its certificate (0.5-RTT data). Any client can receive it. @default false */
  readonly halfRtt?: boolean | undefined;
  /**
   * Secret of at least 32 bytes from which connection ids and stateless reset tokens (RFC 9000 §10.3) are derived. An
   * endpoint that comes back with the same one, at the same address, resets the connections of its former run at once; with
   * another key its peers notice by the idle timeout. Never share a key between endpoints that run at the same time (§21.11).
   * @default random
   */
  readonly resetKey?: Uint8Array | undefined;
}

/** What an endpoint is made from, apart from its hooks. */
export interface QuicSettings extends QuicTransportOptions {
  /** Our certificate chain and key. Without it the endpoint only dials, and presents no certificate. @default undefined */
  readonly identity?: QuicIdentity | undefined;
  /** Whether to take incoming connections. @default true with an identity */
  readonly listen?: boolean | undefined;
  /** ALPN names (RFC 7301), best first. None: no ALPN extension, and clients that bring one go without. @default none */
  readonly alpn?: readonly string[] | undefined;
  /**
   * Whether clients must show a certificate. `optional` lets those without one in unjudged; `none` does not ask.
   * @default 'required'
   */
  readonly clientCertificates?: 'required' | 'optional' | 'none' | undefined;
  /**
   * Peers may open no stream and send no byte on streams before the judge has let them in, by its answer or by `admit`, and the handshake
   * is over. Their first message takes a round trip more. @default false: they may as soon as TLS lets them
   */
  readonly holdPeers?: boolean | undefined;
  /** Hands out TLS secrets as `key_log` events, for Wireshark. With them one can read everything. @default false */
  readonly keyLog?: boolean | undefined;
}

/** Settings, resolved and checked, as they cross the border: see `Config::decode` in `engine/src/config.rs`. */
export interface EngineSettings {
  readonly numbers: readonly number[];
  readonly blob: Bytes;
}

const LISTEN = 1;
const CLIENT_CERTIFICATE_WANTED = 2;
const CLIENT_CERTIFICATE_REQUIRED = 4;
const HALF_RTT = 8;
const KEY_LOG = 16;
const MIGRATION = 32;
const MTU_DISCOVERY = 64;
const HELD = 128;

/** UDP payloads: RFC 9000 §14 and the largest that IPv4 and IPv6 carry. */
const MIN_MTU = 1200;
const MAX_MTU = 65_527;
/** The largest window and buffer, in bytes. */
const MAX_WINDOW = 2 ** 30;
const MAX_MS = 2 ** 32 - 1;
/** The most streams of a kind that a peer may open at a time; each allowed one costs about 100 bytes. */
const MAX_STREAMS = 2 ** 20;
/** Undecided incoming attempts in the engine, and bytes buffered for one and for all of them. All are decided within the call that brings them. */
const MAX_INCOMING = 256;
const INCOMING_BUFFER_BYTES = 64 * 1024;
const INCOMING_BUFFERS_BYTES = 4 * 1024 * 1024;
/** Certificates in one chain. */
const MAX_CHAIN = 16;
/** The largest chain and key together, in bytes: what the border's input takes, with room for the rest. */
const MAX_BLOB_BYTES = 200_000;

/** @throws {TypeError | RangeError} for what is out of bounds. */
export function resolveSettings(settings: QuicSettings): EngineSettings {
  const { identity, clientCertificates = 'required' } = settings;
  const listen = settings.listen ?? identity !== undefined;
  if (listen && identity === undefined) {
    throw new TypeError('Cannot make a QUIC endpoint: one that listens needs an identity');
  }
  if (!['required', 'optional', 'none'].includes(clientCertificates)) {
    throw new TypeError(
      `Cannot take clientCertificates: expected 'required', 'optional' or 'none', got ${describeValue(clientCertificates)}`,
    );
  }
  const initialMtu = wholeNumber(settings.initialMtuBytes, 'initialMtuBytes', MIN_MTU, MIN_MTU, MAX_MTU);
  const maxMtu = wholeNumber(settings.maxMtuBytes, 'maxMtuBytes', Math.max(initialMtu, 1452), MIN_MTU, MAX_MTU);
  const flags =
    bit(listen, LISTEN) |
    bit(clientCertificates !== 'none', CLIENT_CERTIFICATE_WANTED) |
    bit(clientCertificates === 'required', CLIENT_CERTIFICATE_REQUIRED) |
    bit(settings.halfRtt ?? false, HALF_RTT) |
    bit(settings.keyLog ?? false, KEY_LOG) |
    bit(settings.migration ?? true, MIGRATION) |
    bit(maxMtu > initialMtu, MTU_DISCOVERY) |
    bit(settings.holdPeers ?? false, HELD);
  const window = (value: number | undefined, label: string, fallback: number): number =>
    wholeNumber(value, label, fallback, 1024, MAX_WINDOW);
  const numbers = [
    flags,
    wholeNumber(settings.idleTimeoutMs, 'idleTimeoutMs', 30_000, 0, MAX_MS),
    wholeNumber(settings.keepAliveMs, 'keepAliveMs', 0, 0, MAX_MS),
    wholeNumber(settings.maxBidiStreams, 'maxBidiStreams', 100, 0, MAX_STREAMS),
    wholeNumber(settings.maxUniStreams, 'maxUniStreams', 100, 0, MAX_STREAMS),
    window(settings.streamWindowBytes, 'streamWindowBytes', 2 ** 20),
    window(settings.connectionWindowBytes, 'connectionWindowBytes', 2 ** 22),
    window(settings.sendWindowBytes, 'sendWindowBytes', 2 ** 22),
    wholeNumber(settings.datagramReceiveBufferBytes, 'datagramReceiveBufferBytes', 2 ** 18, 0, MAX_WINDOW),
    wholeNumber(settings.datagramSendBufferBytes, 'datagramSendBufferBytes', 2 ** 18, 0, MAX_WINDOW),
    initialMtu,
    maxMtu,
    wholeNumber(settings.maxReceiveDatagramBytes, 'maxReceiveDatagramBytes', MAX_MTU, MIN_MTU, MAX_MTU),
    wholeNumber(settings.cryptoBufferBytes, 'cryptoBufferBytes', 16 * 1024, 4096, 2 ** 20),
    MAX_INCOMING,
    INCOMING_BUFFER_BYTES,
    INCOMING_BUFFERS_BYTES,
    wholeNumber(settings.initialRttMs, 'initialRttMs', 333, 1, 10_000),
    wholeNumber(settings.retryTokenLifetimeMs, 'retryTokenLifetimeMs', 15_000, 1000, MAX_MS),
    wholeNumber(settings.minResetIntervalMs, 'minResetIntervalMs', 20, 0, MAX_MS),
    0, // The mark of the engine: see `settingsFor`.
  ];
  const blob = concatBytes(
    prefixed(identity === undefined ? EMPTY : checked(identity.privateKey, 'identity.privateKey')),
    prefixed(encodeChain(identity)),
    prefixed(encodeAlpn(settings.alpn ?? [])),
    prefixed(resetKey(settings.resetKey)),
  );
  if (blob.length > MAX_BLOB_BYTES) {
    throw new RangeError(`Cannot take identity: ${blob.length} bytes, limit is ${MAX_BLOB_BYTES} bytes`);
  }
  return { numbers, blob };
}

/** Places in {@link EngineSettings.numbers}. */
const CONNECTION_WINDOW = 6;
const SEND_WINDOW = 7;
const INITIAL_MTU = 10;
const MARK = 20;

/** What an endpoint needs to know of resolved settings. */
export function limitsOf({ numbers }: EngineSettings): {
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly mtuBytes: number;
  /** Whether peers get no credit before they are let in. */
  readonly held: boolean;
} {
  return {
    maxReceiveBytes: numbers[CONNECTION_WINDOW]!,
    maxSendBytes: numbers[SEND_WINDOW]!,
    mtuBytes: numbers[INITIAL_MTU]!,
    held: (numbers[0]! & HELD) !== 0,
  };
}

/** The settings of one engine, with its mark in connection ids. */
export function settingsFor(settings: EngineSettings, mark: number): EngineSettings {
  const numbers = [...settings.numbers];
  numbers[MARK] = mark;
  return { ...settings, numbers };
}

const EMPTY = new Uint8Array(0);

function bit(condition: boolean, value: number): number {
  return condition ? value : 0;
}

function checked(value: unknown, label: string): Uint8Array {
  assertBytes(value, label);
  return value;
}

function prefixed(bytes: Uint8Array): Bytes {
  const out = new Uint8Array(4 + bytes.length);
  new DataView(out.buffer).setUint32(0, bytes.length, true);
  out.set(bytes, 4);
  return out;
}

function encodeChain(identity: QuicIdentity | undefined): Bytes {
  if (identity === undefined) return EMPTY;
  const { chain } = identity;
  if (!Array.isArray(chain))
    throw new TypeError(`Cannot take identity.chain: expected an array, got ${describeValue(chain)}`);
  if (chain.length < 1 || chain.length > MAX_CHAIN) {
    throw new RangeError(`Cannot take identity.chain: expected 1 to ${MAX_CHAIN} certificates, got ${chain.length}`);
  }
  return concatBytes(...chain.map((der: unknown, i) => prefixed(checked(der, `identity.chain[${i}]`))));
}

/** ALPN names behind their length bytes. @throws {RangeError} when one is not 1 to 255 bytes long. */
export function encodeAlpn(names: readonly string[]): Bytes {
  const parts: Uint8Array[] = [];
  for (const name of names) {
    const bytes = encodeText(name);
    if (bytes.length < 1 || bytes.length > 255) {
      throw new RangeError(
        `Cannot take ALPN name ${describeValue(name)}: expected 1 to 255 bytes, got ${bytes.length}`,
      );
    }
    parts.push(Uint8Array.of(bytes.length), bytes);
  }
  return concatBytes(...parts);
}

function resetKey(key: Uint8Array | undefined): Uint8Array {
  if (key === undefined) return EMPTY;
  assertBytes(key, 'resetKey');
  if (key.length < 32 || key.length > 1024) {
    throw new RangeError(`Cannot take resetKey: expected 32 to 1024 bytes, got ${key.length}`);
  }
  return key;
}
