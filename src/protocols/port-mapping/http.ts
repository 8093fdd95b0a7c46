/** The least of HTTP/1.1 (RFC 9112) that is needed to ask a router: one request a connection, answers within bounds. */

import { type Bytes, concatBytes, copyBytes, EMPTY_BYTES, encodeText, viewFrom } from '../../base/bytes.ts';
import { formatSocketAddress, parseSocketAddress, type SocketAddress, withoutZone } from '../../base/ip.ts';

/** A URL on a host that is named by its IP. */
export interface HttpUrl {
  readonly host: SocketAddress;
  /** With its query, from the `/` on. */
  readonly path: string;
}

/** The longest URL that is used. */
const MAX_URL = 1024;
/** Nothing that could end a line of the request, or that is no part of a URL. */
const PATH = /^\/[\x21\x24-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]*$/;

/** Reads `http://192.168.1.1:5000/rootDesc.xml`; `undefined` for other schemes and for hosts by name. Never throws. */
export function parseHttpUrl(text: string): HttpUrl | undefined {
  if (text.length > MAX_URL || !/^http:\/\//i.test(text)) return undefined;
  const rest = text.slice('http://'.length);
  const slash = rest.search(/[/?#]/);
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const host = parseSocketAddress(
    /:[0-9]+$/.test(authority.slice(authority.indexOf(']') + 1)) ? authority : `${authority}:80`,
  );
  const path = slash < 0 ? '/' : rest.slice(slash);
  if (host === undefined || host.port === 0 || !PATH.test(path)) return undefined;
  return { host, path };
}

/** A URL in a document at `base`: absolute, from the root of the host, or relative. `undefined` as {@link parseHttpUrl}. */
export function resolveHttpUrl(text: string, base: HttpUrl): HttpUrl | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) return parseHttpUrl(text);
  const path = text.startsWith('/') ? text : `${base.path.slice(0, base.path.lastIndexOf('/') + 1)}${text}`;
  return path.length <= MAX_URL && PATH.test(path) && !path.startsWith('//') ? { host: base.host, path } : undefined;
}

/** A request with a body, or a GET without one. */
export function encodeHttpRequest({ host, path }: HttpUrl, headers: readonly string[] = [], body?: string): Bytes {
  const content = body === undefined ? EMPTY_BYTES : encodeText(body);
  const lines = [
    `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`,
    `Host: ${formatSocketAddress(withoutZone(host.ip), host.port)}`,
    'Connection: close',
    'User-Agent: shoal UPnP/1.1',
    ...headers,
    ...(body === undefined ? [] : [`Content-Length: ${content.length}`]),
  ];
  return concatBytes(encodeText(`${lines.join('\r\n')}\r\n\r\n`), content);
}

const MAX_HEAD_BYTES = 8192;
/** Descriptions of routers have 5 to 20 KiB. */
export const MAX_BODY_BYTES = 65_536;
/** A line that says how long a chunk is, with its extensions. */
const MAX_CHUNK_LINE = 256;
/** Interim answers (100 Continue) before the one that counts. */
const MAX_INTERIM = 4;
const [CR, LF] = [13, 10];

type State = 'head' | 'body' | 'until_close' | 'chunk_size' | 'chunk' | 'chunk_end' | 'trailer' | 'done' | 'malformed';

/** Reads one answer. */
export class HttpResponseReader {
  #state: State = 'head';
  /** What is not read yet. Bounded by the chunk that is pushed and the largest line. */
  #input: Bytes = EMPTY_BYTES;
  /** Bounded by {@link MAX_BODY_BYTES}. */
  readonly #body: Bytes[] = [];
  #bodyBytes = 0;
  #status = 0;
  #left = 0;
  #interim = 0;
  #trailerBytes = 0;

  /** The answer once it is whole; `malformed` when it is not an HTTP answer, or is too large. */
  get result(): { readonly status: number; readonly body: Bytes } | 'malformed' | undefined {
    if (this.#state === 'malformed') return 'malformed';
    return this.#state === 'done' ? { status: this.#status, body: concatBytes(...this.#body) } : undefined;
  }

  push(bytes: Uint8Array): void {
    if (this.#state === 'done' || this.#state === 'malformed') return;
    this.#input = this.#input.length === 0 ? copyBytes(bytes) : concatBytes(this.#input, bytes);
    while (this.#step());
  }

  /** The connection has ended. */
  end(): void {
    if (this.#state === 'until_close') this.#state = 'done';
    else if (this.#state !== 'done') this.#state = 'malformed';
  }

  /** @returns whether more can be read. */
  #step(): boolean {
    const state = this.#state;
    if (state === 'done' || state === 'malformed') return false;
    if (state === 'head') return this.#readHead();
    if (state === 'body') return this.#take('done');
    if (state === 'chunk') return this.#take('chunk_end');
    if (state === 'until_close') return this.#take('until_close');
    return this.#readLine(state);
  }

  #readHead(): boolean {
    const end = endOfHead(this.#input);
    if (end === undefined) return this.#input.length > MAX_HEAD_BYTES ? this.#malformed() : false;
    if (end > MAX_HEAD_BYTES) return this.#malformed();
    const [first = '', ...lines] = latin1(this.#input.subarray(0, end)).trimEnd().split(/\r?\n/);
    this.#input = viewFrom(this.#input, end);
    const status = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: |$)/.exec(first)?.[1];
    if (status === undefined) return this.#malformed();
    this.#status = Number(status);
    if (this.#status < 200) return ++this.#interim > MAX_INTERIM ? this.#malformed() : true;
    const length = headerOf(lines, 'content-length');
    const coding = headerOf(lines, 'transfer-encoding');
    if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked') return this.#malformed();
      this.#state = 'chunk_size';
    } else if (length === undefined) {
      this.#left = Infinity;
      this.#state = 'until_close';
    } else {
      // Two lengths that differ are joined by a comma, and are no number.
      if (!/^[0-9]{1,9}$/.test(length) || Number(length) > MAX_BODY_BYTES) return this.#malformed();
      this.#left = Number(length);
      this.#state = 'body';
    }
    return true;
  }

  #take(next: State): boolean {
    const taken = Math.min(this.#left, this.#input.length);
    this.#bodyBytes += taken;
    if (this.#bodyBytes > MAX_BODY_BYTES) return this.#malformed();
    if (taken > 0) this.#body.push(viewFrom(this.#input, 0, taken));
    this.#input = viewFrom(this.#input, taken);
    this.#left -= taken;
    if (this.#left > 0) return false;
    this.#state = next;
    return true;
  }

  #readLine(state: 'chunk_size' | 'chunk_end' | 'trailer'): boolean {
    const end = this.#input.indexOf(LF);
    if (end < 0) return this.#input.length > MAX_CHUNK_LINE ? this.#malformed() : false;
    const line = latin1(this.#input.subarray(0, end > 0 && this.#input[end - 1] === CR ? end - 1 : end));
    this.#input = viewFrom(this.#input, end + 1);
    if (state === 'trailer') {
      this.#trailerBytes += end;
      if (this.#trailerBytes > MAX_HEAD_BYTES) return this.#malformed();
      if (line === '') this.#state = 'done';
    } else if (state === 'chunk_end') {
      if (line !== '') return this.#malformed();
      this.#state = 'chunk_size';
    } else {
      const size = /^([0-9a-f]{1,8})[ \t]*(?:;|$)/i.exec(line)?.[1];
      if (size === undefined || line.length > MAX_CHUNK_LINE) return this.#malformed();
      this.#left = Number.parseInt(size, 16);
      if (this.#bodyBytes + this.#left > MAX_BODY_BYTES) return this.#malformed();
      this.#state = this.#left === 0 ? 'trailer' : 'chunk';
    }
    return true;
  }

  #malformed(): false {
    this.#state = 'malformed';
    this.#input = EMPTY_BYTES;
    this.#body.length = 0;
    return false;
  }
}

/** Behind the empty line. */
function endOfHead(bytes: Uint8Array): number | undefined {
  for (let at = bytes.indexOf(LF); at >= 0 && at <= MAX_HEAD_BYTES; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF) return at + 2;
    if (bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return undefined;
}

/** A header's value; several of one name are joined by commas. `undefined` when it is not there. */
export function headerOf(lines: readonly string[], name: string): string | undefined {
  const values = lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return colon > 0 && line.slice(0, colon).trim().toLowerCase() === name ? [line.slice(colon + 1).trim()] : [];
  });
  return values.length === 0 ? undefined : [...new Set(values)].join(',');
}

/** Each byte as one character. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
