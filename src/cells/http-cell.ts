/**
 * A cell at a server, over HTTP: `GET` reads, `PUT` with the hash of the current value swaps, and the answer to both is the value of the cell.
 * Source: go-p2p's httpcell and celltracker, docs/wire/cells.md.
 */

import { type Bytes, concatBytes, copyBytes, equalBytes } from '../base/bytes.ts';
import { assertFunction, assertString, describeValue } from '../base/checks.ts';
import { printableText } from '../base/reason.ts';
import { P2PError } from '../core/errors.ts';
import type { PublicKey } from '../core/secure.ts';
import { encodeBase64Url } from '../protocols/cell/base64.ts';
import { CURRENT_HEADER, currentHash, SIGNER_HEADER } from '../protocols/cell/http-form.ts';
import type { CasResult, Cell, CellStoreOptions } from './cell.ts';
import {
  type BackendCall,
  type CellBackend,
  onlyCell,
  type ResolvedStoreOptions,
  resolveStoreOptions,
  storeOver,
} from './store.ts';

/** One HTTP request, as `fetch` of every platform makes it. */
export type HttpFetch = (
  url: string,
  init: {
    readonly method: 'GET' | 'PUT';
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: Uint8Array<ArrayBuffer>;
    readonly signal: AbortSignal;
    readonly redirect: 'error';
    readonly cache: 'no-store';
  },
) => Promise<HttpAnswer>;

/** The part of a `Response` that is used. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: {
    getReader(): {
      read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
      cancel(): Promise<unknown>;
    };
  } | null;
}

/** Options of {@link httpCell}. */
export interface HttpCellOptions extends Omit<CellStoreOptions, 'expireMs'> {
  /** The key that the server is told of, for servers that accept signed values only. @default none is sent */
  readonly signer?: PublicKey | undefined;
  /** @default the platform's `fetch`, which neither follows redirects here nor answers from a cache */
  readonly fetch?: HttpFetch | undefined;
}

/** How much of an error's text is shown. */
const MAX_REASON_BYTES = 200;

class HttpBackend implements CellBackend {
  readonly kind = 'http';
  readonly #url: string;
  readonly #signer: string | undefined;
  readonly #fetch: HttpFetch;
  readonly #options: ResolvedStoreOptions;

  constructor(url: string, signer: string | undefined, fetch: HttpFetch, options: ResolvedStoreOptions) {
    this.#url = url;
    this.#signer = signer;
    this.#fetch = fetch;
    this.#options = options;
  }

  read(_key: string, call: BackendCall): Promise<Bytes> {
    return this.#request('GET', {}, undefined, call);
  }

  async swap(_key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult> {
    const signer = this.#signer === undefined ? {} : { [SIGNER_HEADER]: this.#signer };
    call.sending();
    const current = await this.#request('PUT', { [CURRENT_HEADER]: currentHash(expected), ...signer }, next, call);
    const swapped = equalBytes(current, next);
    if (swapped || !equalBytes(current, expected)) return { swapped, current };
    // The cell may have held something else for a moment; for this call it makes no difference, but it cannot be told from a server that writes nothing.
    const what = `Cannot write cell: the server answers with the expected value, and has not written`;
    throw new P2PError('refused', 'remote', what, { sent: 'maybe' });
  }

  release(): Promise<void> {
    return Promise.resolve();
  }

  async #request(
    method: 'GET' | 'PUT',
    headers: Readonly<Record<string, string>>,
    body: Bytes | undefined,
    { signal }: BackendCall,
  ): Promise<Bytes> {
    const type = body === undefined ? {} : { 'Content-Type': 'application/octet-stream' };
    const init = { method, headers: { ...type, ...headers }, signal, redirect: 'error', cache: 'no-store' } as const;
    const answer = await this.#fetch(this.#url, body === undefined ? init : { ...init, body });
    if (answer.status === 200) return readBody(answer, this.#options.maxBytes, true);
    const reason = await readBody(answer, MAX_REASON_BYTES, false).catch(() => new Uint8Array(0));
    throw statusError(answer.status, printableText(new TextDecoder().decode(reason).trim()));
  }
}

/** @param isWhole - whether a longer body is a failure; otherwise it is cut. */
async function readBody({ body, headers }: HttpAnswer, maxBytes: number, isWhole: boolean): Promise<Bytes> {
  if (body === null) return new Uint8Array(0);
  const reader = body.getReader();
  const tooLong = new P2PError(
    'limit_exceeded',
    'remote',
    `Cannot read cell: the answer has more than ${maxBytes} bytes`,
  );
  const chunks: Uint8Array[] = []; // Bounded by maxBytes and one chunk.
  let length = Number(headers.get('content-length') ?? 0) > maxBytes && isWhole ? Infinity : 0;
  try {
    while (length <= maxBytes) {
      const { done, value } = await reader.read();
      if (done || value === undefined) return concatBytes(...chunks);
      length += value.length;
      chunks.push(value);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
  if (isWhole) throw tooLong;
  return copyBytes(concatBytes(...chunks).subarray(0, maxBytes));
}

function statusError(status: number, reason: string): P2PError {
  const what = `the server answers ${status}${reason === '' ? '' : `: ${reason}`}`;
  if (status === 429) {
    return new P2PError('limit_exceeded', 'remote', `Cannot use cell: ${what}; ask less often`, { sent: 'no' });
  }
  if (status >= 500) return new P2PError('unreachable', 'remote', `Cannot use cell: ${what}`);
  return new P2PError('refused', 'remote', `Cannot use cell: ${what}`, { sent: 'no' });
}

/**
 * Makes a cell at a server. Nothing is sent until it is used.
 *
 * A server that stores signed values only is one of a tracker: see `shoal/tracker`.
 *
 * @param url - of the cell: `http:` or `https:`.
 * @throws {TypeError | RangeError} for invalid arguments.
 */
export function httpCell(url: string, options: HttpCellOptions = {}): Cell {
  assertString(url, 'url');
  const parsed = URL.parse(url);
  if ((parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') || parsed.hash !== '') {
    throw new TypeError('Cannot take url: expected http: or https:, without a fragment');
  }
  const resolved = resolveStoreOptions({ maxBytes: options.maxBytes, realm: options.realm });
  const { signer, fetch = globalThis.fetch } = options;
  assertFunction(fetch, 'fetch');
  if (signer !== undefined && !(signer?.spki instanceof Uint8Array)) {
    throw new TypeError(`Cannot take signer: expected a public key, got ${describeValue(signer)}`);
  }
  const signerText = signer === undefined ? undefined : encodeBase64Url(signer.spki);
  return onlyCell(storeOver(new HttpBackend(parsed.href, signerText, fetch, resolved), resolved), 'cell');
}
