/** Credentials of TURN: long-term ones (RFC 8489 §9.2), and those of the REST API of coturn and others, which expire. */

import { hash, hmac } from '#crypto';
import { type Bytes, encodeText } from '../../base/bytes.ts';

/** A user and a password. */
export interface TurnCredentials {
  readonly username: string;
  readonly password: string;
}

/** The key of MESSAGE-INTEGRITY with long-term credentials: MD5 of `user:realm:password`. */
export function longTermKey({ username, password }: TurnCredentials, realm: string): Bytes {
  return hash('md5', encodeText(`${username}:${realm}:${password}`));
}

/**
 * Credentials that a server with the same secret accepts until `expiresS` (draft-uberti-behave-turn-rest-00).
 *
 * @param expiresS - seconds since the Unix epoch.
 */
export function restCredentials(secret: string, name: string, expiresS: number): TurnCredentials {
  const username = `${Math.floor(expiresS)}:${name}`;
  const mac = hmac('sha1', encodeText(secret), encodeText(username));
  return { username, password: btoa(String.fromCharCode(...mac)) };
}
