/** Answers HTTP requests for the cells of a store: the other end of `httpCell`. It does no I/O. */

import { type Bytes, encodeText } from '../base/bytes.ts';
import { assertFunction, describeValue } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { PublicKey } from '../core/secure.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import { importPublicKey } from '../identity/import-key.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import { decodeBase64Url } from '../protocols/cell/base64.ts';
import { currentHash } from '../protocols/cell/http-form.ts';
import { decodeSigned, signedHash, TRACKER_PURPOSE } from '../protocols/cell/signed-form.ts';
import type { CellCallOptions, CellStore } from './cell.ts';

/** A request, as an HTTP server has read it. */
export interface CellHttpRequest {
  /** `GET` and `PUT`; `POST` puts a value into an empty cell. */
  readonly method: string;
  /** The path behind the place of the cells: `/<key>`. A query is part of it, and not accepted. */
  readonly path: string;
  /** The values of the headers `X-Current` and `X-Signer`. */
  readonly current?: string | undefined;
  readonly signer?: string | undefined;
  /** The whole body; the server reads no more than the store's `maxBytes`. */
  readonly body: Uint8Array;
}

/** The answer. Its body is the value of the cell, or for other states than 200 why. */
export interface CellHttpResponse {
  readonly status: number;
  readonly body: Bytes;
  /** What the request was, for metrics. */
  readonly outcome: CellOutcome;
}

/** What came of a request; `created`: a swap in an empty cell. */
export type CellOutcome = 'read' | 'created' | 'swapped' | 'conflict' | 'malformed' | 'refused' | 'failed';

/** Why a swap is not done; `undefined` when it may be. */
export type CellCheck = (key: string, request: CellHttpRequest) => string | undefined;

/** Options of {@link cellHandler}. */
export interface CellHandlerOptions {
  /** Called before a swap. @default everything may be written */
  readonly check?: CellCheck | undefined;
}

const PATH = /^\/([\w-]{1,128})$/;

/**
 * Makes a function that answers requests. It never rejects.
 *
 * @throws {TypeError} for invalid arguments.
 */
export function cellHandler(
  store: CellStore,
  options: CellHandlerOptions = {},
): (request: CellHttpRequest, call?: CellCallOptions) => Promise<CellHttpResponse> {
  if (typeof store?.get !== 'function' || typeof store.cas !== 'function') {
    throw new TypeError(`Cannot take store: expected cells, got ${describeValue(store)}`);
  }
  const { check = () => undefined } = options;
  assertFunction(check, 'check');
  return async (request, call) => {
    try {
      return await answer(store, check, request, call);
    } catch (error) {
      if (P2PError.is(error, 'limit_exceeded')) return fault(503, 'no space for another cell', 'refused');
      return fault(503, 'the store does not answer', 'failed');
    }
  };
}

async function answer(
  store: CellStore,
  check: CellCheck,
  request: CellHttpRequest,
  call: CellCallOptions | undefined,
): Promise<CellHttpResponse> {
  const { method, path, body } = request;
  const key = PATH.exec(path)?.[1];
  if (key === undefined) return fault(400, 'the path names no cell', 'malformed');
  if (method === 'GET') return { status: 200, body: await store.get(key, call), outcome: 'read' };
  if (method !== 'PUT' && method !== 'POST') return fault(400, 'only GET, PUT and POST', 'malformed');
  if (body.length > store.maxBytes) return fault(400, `the body has more than ${store.maxBytes} bytes`, 'malformed');
  const believed = method === 'POST' ? EMPTY_HASH : request.current;
  if (believed === undefined || decodeBase64Url(believed)?.length !== HASH_BYTES) {
    return fault(400, 'X-Current is not SHA3-256 in base64url', 'malformed');
  }
  const why = check(key, request);
  if (why !== undefined) return fault(400, why, 'refused');
  const current = await store.get(key, call);
  if (currentHash(current) !== believed) return { status: 200, body: current, outcome: 'conflict' };
  const result = await store.cas(key, current, body, call);
  const done = current.length === 0 ? 'created' : 'swapped';
  return { status: 200, body: result.current, outcome: result.swapped ? done : 'conflict' };
}

const HASH_BYTES = 32;
const EMPTY_HASH: string = currentHash(new Uint8Array(0));

function fault(status: number, why: string, outcome: CellOutcome): CellHttpResponse {
  return { status, body: encodeText(`${why}\n`), outcome };
}

/** The longest X-Signer that is looked at: an Ed25519 key has 60 characters. */
const MAX_SIGNER_CHARACTERS = 256;

/**
 * The rule of go-p2p's tracker: a cell is named by the fingerprint of the key in `X-Signer`, an Ed25519 key, which has signed the body. An empty body needs
 * no signature in go-p2p; here nobody empties a cell that way.
 */
export const signedCellCheck: CellCheck = (key, { signer, body }) => {
  const spki = signer !== undefined && signer.length <= MAX_SIGNER_CHARACTERS ? decodeBase64Url(signer) : undefined;
  const publicKey = spki && publicKeyOf(spki);
  if (publicKey?.algorithm !== 'ed25519') return 'X-Signer is no Ed25519 key in base64url';
  if (peerIdOfKey(publicKey) !== key) return 'X-Signer is not the key of this cell';
  const parts = decodeSigned(body);
  const verifier = defaultKeyRegistry.verifier(publicKey.spki);
  if (parts === undefined || verifier?.verify(signedHash(TRACKER_PURPOSE, parts.payload), parts.signature) !== true) {
    return 'the body is not signed by X-Signer';
  }
  return undefined;
};

function publicKeyOf(spki: Uint8Array): PublicKey | undefined {
  try {
    return importPublicKey(spki);
  } catch {
    return undefined;
  }
}
