/**
 * Authentication of the client by its key (RFC 4252). The identity is the key whose signature was verified, whatever other keys the
 * client has asked about.
 */

import { type Bytes, concatBytes } from '../../base/bytes.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { Signer } from '../../identity/key-algorithm.ts';
import { decodeSshKey, sshWireKey } from '../../identity/ssh-key.ts';
import { SIGNATURES } from './algorithms.ts';
import { MAX_AUTH_REQUESTS, MSG } from './constants.ts';
import type { SshFault } from './faults.ts';
import { bool, byte, names, SshReader, string } from './wire.ts';

const USERAUTH = 'ssh-userauth';
const CONNECTION = 'ssh-connection';
const PUBLIC_KEY = 'publickey';
/** Texts for users before authentication; more than this many come from a peer that only talks. */
const MAX_BANNERS = 16;

/** What an end answers: a payload, a proven key, success, or a fault. */
export type AuthStep =
  | { readonly type: 'send'; readonly payload: Bytes }
  | { readonly type: 'proven'; readonly publicKey: PublicKey }
  | { readonly type: 'success' }
  /** The server has refused this side's key. */
  | { readonly type: 'refused' }
  | { readonly type: 'fault'; readonly fault: SshFault }
  | undefined;

const fault = (what: SshFault): AuthStep => ({ type: 'fault', fault: what });

/** What a client signs (RFC 4252 §7): the request behind the identifier of the session. */
function signedBytes(sessionId: Bytes, user: string, algorithm: string, key: Bytes): Bytes {
  return concatBytes(string(sessionId), signedRequest(user, algorithm, key));
}

/** A request with a signature, but for the signature. */
function signedRequest(user: string, algorithm: string, key: Bytes): Bytes {
  const head = concatBytes(byte(MSG.USERAUTH_REQUEST), string(user), string(CONNECTION), string(PUBLIC_KEY));
  return concatBytes(head, bool(true), string(algorithm), string(key));
}

/** The server: accepts any key that is proven; its owner judges it afterwards. */
export class ServerAuthentication {
  readonly #sessionId: Bytes;
  #hasService = false;
  #requests = 0;

  constructor(sessionId: Bytes) {
    this.#sessionId = sessionId;
  }

  handle(payload: Bytes): AuthStep {
    const reader = new SshReader(payload, 1);
    if (payload[0] === MSG.SERVICE_REQUEST) {
      const service = reader.text();
      if (!reader.isComplete) return fault('malformed');
      if (service !== USERAUTH || this.#hasService) return fault('unexpected');
      this.#hasService = true;
      return { type: 'send', payload: concatBytes(byte(MSG.SERVICE_ACCEPT), string(USERAUTH)) };
    }
    if (payload[0] !== MSG.USERAUTH_REQUEST || !this.#hasService) return fault('unexpected');
    if (++this.#requests > MAX_AUTH_REQUESTS) return fault('auth_storm');
    const [user, service, method] = [reader.text(), reader.text(), reader.text()];
    if (reader.failed) return fault('malformed');
    if (method !== PUBLIC_KEY || service !== CONNECTION) return FAILURE;
    const hasSignature = reader.bool();
    const [algorithm, wireKey] = [reader.text(), reader.string()];
    const signature = hasSignature ? reader.string() : undefined;
    if (!reader.isComplete) return fault('malformed');
    const key = SIGNATURES.includes(algorithm) ? decodeSshKey(wireKey) : undefined;
    if (key === undefined || key.name !== (algorithm.startsWith('rsa-') ? 'ssh-rsa' : algorithm)) return FAILURE;
    if (signature === undefined) {
      const answer = concatBytes(byte(MSG.USERAUTH_PK_OK), string(algorithm), string(wireKey));
      return { type: 'send', payload: answer };
    }
    const isSigned = key.verify(algorithm, signedBytes(this.#sessionId, user, algorithm, wireKey), signature);
    return isSigned ? { type: 'proven', publicKey: key.publicKey } : FAILURE;
  }
}

const FAILURE: AuthStep = {
  type: 'send',
  payload: concatBytes(byte(MSG.USERAUTH_FAILURE), names([PUBLIC_KEY]), bool(false)),
};

/** The client: offers its key with a signature at once. */
export class ClientAuthentication {
  readonly #signer: Signer;
  readonly #user: string;
  readonly #sessionId: Bytes;
  #state: 'service' | 'asked' | 'done' = 'service';
  #banners = 0;

  constructor(sessionId: Bytes, signer: Signer, user: string) {
    this.#sessionId = sessionId;
    this.#signer = signer;
    this.#user = user;
  }

  /** The first payload. */
  begin(): Bytes {
    return concatBytes(byte(MSG.SERVICE_REQUEST), string(USERAUTH));
  }

  handle(payload: Bytes): AuthStep {
    switch (payload[0]!) {
      case MSG.SERVICE_ACCEPT: {
        if (this.#state !== 'service') return fault('unexpected');
        this.#state = 'asked';
        return { type: 'send', payload: this.#request() };
      }
      case MSG.USERAUTH_BANNER:
        return ++this.#banners > MAX_BANNERS ? fault('auth_storm') : undefined;
      case MSG.USERAUTH_SUCCESS:
        if (this.#state !== 'asked') return fault('unexpected');
        this.#state = 'done';
        return { type: 'success' };
      case MSG.USERAUTH_FAILURE:
        return this.#state === 'asked' ? { type: 'refused' } : fault('unexpected');
      default:
        return fault('unexpected');
    }
  }

  #request(): Bytes {
    const [algorithm, key] = ['ssh-ed25519', sshWireKey(this.#signer.publicKey)];
    const signature = this.#signer.sign(signedBytes(this.#sessionId, this.#user, algorithm, key));
    const blob = concatBytes(string(algorithm), string(signature));
    return concatBytes(signedRequest(this.#user, algorithm, key), string(blob));
  }
}
