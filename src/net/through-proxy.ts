/** A network whose TCP connections go through an HTTP proxy (CONNECT, RFC 9110 §9.3.6). */

import { resolveName } from '#resolve';
import { systemNetwork } from '#system-network';
import { encodeText } from '../base/bytes.ts';
import { assertString, describeValue, quantity } from '../base/checks.ts';
import {
  canonicalIp,
  formatSocketAddress,
  ipBytes,
  ipVersion,
  isLoopbackIp,
  type SocketAddress,
  withoutZone,
} from '../base/ip.ts';
import { type IpPrefix, isInPrefix, parseIpPrefix } from '../base/ip-prefix.ts';
import { P2PError, type P2PErrorCode } from '../core/errors.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { Waits } from '../runtime/waits.ts';
import { type ConnectAnswer, ConnectReader, encodeConnect } from './http-connect.ts';
import { localNetworks } from './local-networks.ts';
import { gatewaysOf } from './default-gateways.ts';
import { assertNetwork, type DialOptions, type Network, type RawConnection } from './network.ts';

/** How connections go through a proxy. */
export interface ThroughProxyOptions {
  /**
   * Destinations that are dialled directly: IPs, prefixes such as `10.0.0.0/8`, and `local` for loopback and the networks that this host is
   * attached to. @default ['local']
   */
  readonly except?: readonly string[] | undefined;
  /** The time limit of connecting to the proxy and of its answer together, in milliseconds. @default 10_000 */
  readonly timeoutMs?: number | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
}

/** A proxy as its URL names it. */
interface Proxy {
  readonly host: string;
  readonly port: number;
  /** The value of Proxy-Authorization. */
  readonly authorization: string | undefined;
  /** Without credentials, for errors. */
  readonly shown: string;
}

const DEFAULT_PORT = 80;
const DEFAULT_TIMEOUT_MS = 10_000;

function parseProxy(text: string): Proxy {
  assertString(text, 'proxy');
  const url = URL.parse(text);
  const isPlain = url?.pathname === '/' && url.search === '' && url.hash === '';
  if (url === null || url.protocol !== 'http:' || url.hostname === '' || !isPlain) {
    // The text may have a password in it, so it is not shown.
    throw new TypeError('Cannot take proxy: expected http://[user:password@]host:port');
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  if (port === 0) throw new RangeError('Cannot take proxy: expected a port from 1 to 65535, got 0');
  const authorization = url.username === '' && url.password === '' ? undefined : basicOf(url);
  return { host: canonicalIp(host) ?? host, port, authorization, shown: `proxy ${url.host}` };
}

/** RFC 7617: base64 of the UTF-8 bytes of user and password. */
function basicOf({ username, password }: URL): string {
  try {
    const credentials = encodeText(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
    return `Basic ${btoa(String.fromCharCode(...credentials))}`;
  } catch {
    throw new TypeError('Cannot take proxy: user and password are not percent-encoded UTF-8');
  }
}

/**
 * A network whose `dial` goes through an HTTP proxy: for hosts from which only a proxy leads out. TLS and Noise run end to end inside, so the proxy
 * sees where connections lead, and nothing of what is said. Listening, UDP and interfaces are those of `network`.
 *
 * A refusal of the proxy rejects with its status: `refused` for 401, 403 and 407, `timeout` for 504, else `unreachable`.
 *
 * @param proxy - `http://[user:password@]host:port`; a name is resolved for each dial.
 * @throws {TypeError | RangeError} for another URL, and for options out of bounds.
 * @example
 * ```ts
 * const swarm = await openTcpSwarm({ privateKey, network: throughProxy(network, 'http://192.0.2.1:3128') });
 * ```
 */
export function throughProxy(network: Network | undefined, proxy: string, options: ThroughProxyOptions = {}): Network {
  const inner = network ?? systemNetwork;
  assertNetwork(inner);
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { except = ['local'], realm = systemRealm } = options;
  assertRealm(realm);
  const timeoutMs = quantity(options.timeoutMs, 'timeoutMs', DEFAULT_TIMEOUT_MS, 1, 600_000);
  const dialer = new ProxyDialer(inner, parseProxy(proxy), realm, timeoutMs);
  const direct = directTest(inner, except);
  return {
    dial: (dial) => (direct(dial.remote.ip) ? inner.dial(dial) : dialer.dial(dial)),
    listen: (listen) => inner.listen(listen),
    bindUdp: (bind) => inner.bindUdp(bind),
    interfaces: () => inner.interfaces(),
    gateways: () => gatewaysOf(inner),
    onInterfacesChanged: (listener) => inner.onInterfacesChanged(listener),
  };
}

/** Which IPs are dialled directly. */
function directTest(network: Network, except: readonly string[]): (ip: string) => boolean {
  if (!Array.isArray(except))
    throw new TypeError(`Cannot take except: expected an array, got ${describeValue(except)}`);
  const prefixes: IpPrefix[] = [];
  for (const text of except) {
    if (text === 'local') continue;
    const prefix = typeof text === 'string' ? parseIpPrefix(text) : undefined;
    if (prefix === undefined) {
      throw new TypeError(`Cannot take except: expected IPs, prefixes or 'local', got ${describeValue(text)}`);
    }
    prefixes.push(prefix);
  }
  const isLocalDirect = except.includes('local');
  return (ip) => {
    if (
      isLocalDirect &&
      (isLoopbackIp(ip) || localNetworks(network.interfaces()).some((local) => local.contains(ip)))
    ) {
      return true;
    }
    const bytes = ipBytes(withoutZone(ip));
    return bytes !== undefined && prefixes.some((prefix) => isInPrefix(bytes, prefix));
  };
}

class ProxyDialer {
  readonly #network: Network;
  readonly #proxy: Proxy;
  readonly #waits: Waits;
  readonly #timeoutMs: number;

  constructor(network: Network, proxy: Proxy, realm: Realm, timeoutMs: number) {
    this.#network = network;
    this.#proxy = proxy;
    this.#waits = new Waits(realm);
    this.#timeoutMs = timeoutMs;
  }

  dial(options: DialOptions): Promise<RawConnection> {
    const { remote, signal } = options;
    const authority = formatSocketAddress(remote.ip, remote.port);
    const what = (): string => `connect to ${authority} through ${this.#proxy.shown}`;
    const timing = { what, call: { signal }, defaultTimeoutMs: this.#timeoutMs, sent: () => 'no' as const };
    return this.#waits.wait<RawConnection>(timing, (wait) => {
      const ended = new AbortController();
      let connection: RawConnection | undefined;
      let isReady = false;
      const fail = (code: P2PErrorCode, why: string): void =>
        wait.reject(new P2PError(code, 'path', `Cannot ${what()}: ${why}`, { sent: 'no' }));
      const open = async (): Promise<void> => {
        const { ip, port } = await this.#resolve();
        // A local address of the other family cannot lead to the proxy.
        const bind =
          options.bind !== undefined && ipVersion(options.bind.ip) === ipVersion(ip) ? options.bind : undefined;
        const made = await this.#network.dial({ ...options, bind, remote: { ip, port }, signal: ended.signal });
        connection = made;
        if (ended.signal.aborted) made.pipe.destroy();
        else ask(made);
      };
      const ask = ({ pipe, local }: RawConnection): void => {
        const reader = new ConnectReader();
        pipe.sink = {
          onData: (chunk) => {
            const answer = reader.push(chunk);
            if (answer === undefined) return;
            if (answer === 'malformed') fail('unreachable', 'it does not answer in HTTP');
            else if (answer.status >= 200 && answer.status < 300) {
              pipe.pause();
              pipe.sink = undefined;
              if (answer.rest.length > 0) pipe.unshift(answer.rest);
              isReady = true;
              wait.resolve({ pipe, local, remote });
            } else fail(codeOf(answer), `it answers ${answer.status} ${answer.reason}`.trimEnd());
          },
          onEnd: () => fail('unreachable', 'it closed the connection'),
          onClose: () => fail('unreachable', 'it closed the connection'),
        };
        pipe.write([encodeConnect(authority, this.#proxy.authorization)], () => undefined);
        pipe.resume();
      };
      open().catch((error: unknown) => {
        const code = P2PError.is(error) ? error.code : 'unreachable';
        const why = error instanceof Error ? error.message : String(error);
        wait.reject(new P2PError(code, 'path', `Cannot ${what()}: ${why}`, { sent: 'no', cause: error }));
      });
      return () => {
        ended.abort(new P2PError('closed', 'local', `The dial through ${this.#proxy.shown} is over`));
        if (!isReady) connection?.pipe.destroy();
      };
    });
  }

  async #resolve(): Promise<SocketAddress> {
    const { host, port } = this.#proxy;
    if (ipVersion(host) !== undefined) return { ip: host, port };
    const [ip] = (await resolveName(host)).flatMap((found) => canonicalIp(found) ?? []);
    if (ip === undefined) throw new P2PError('unreachable', 'path', `${host} has no address`, { sent: 'no' });
    return { ip, port };
  }
}

function codeOf({ status }: ConnectAnswer): P2PErrorCode {
  if (status === 401 || status === 403 || status === 407) return 'refused';
  return status === 504 || status === 408 ? 'timeout' : 'unreachable';
}
